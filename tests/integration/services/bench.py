"""Services at work on an open stack, for tests."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Column, Integer, MetaData, String, Table

from flashsale.broker import DeadQueue, Delivery
from flashsale.broker.dead_letters import peek
from flashsale.domain.order_ids import random_order_id
from flashsale.messages.events import OrderEvent, encode_event, new_event_id
from flashsale.observability.services_metrics import ServicesMetrics
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack
from services import Effects, Retry, Service
from services.app import run_workers
from services.queues import dead_queue, declared_by, work_queue
from tests.database import rows

tables = MetaData()
Table(
    "done_by_tests",
    tables,
    Column("event_id", String(32), primary_key=True),
    Column("times", Integer, nullable=False),
)
DO = (
    "INSERT INTO done_by_tests (event_id, times) VALUES (:event_id, :times)"
    " ON CONFLICT (event_id) DO UPDATE SET times = done_by_tests.times + excluded.times"
)

Handler = Callable[[OrderEvent, Effects], Awaitable[None]]


async def do(event: OrderEvent, effects: Effects) -> None:
    effects.run(DO, event_id=event.event_id, times=1)


def a_service(
    handle: Handler | None = do, name: str = "probe", **options: Any
) -> Service[OrderEvent]:
    topics = ("order.confirmed.#",)
    usual: dict[str, Any] = {"retry": Retry((0.05, 0.1)), "tables": tables}
    return Service(name, topics, lambda event: event, handle, **(usual | options))


def an_event(**changes: Any) -> OrderEvent:
    fields: dict[str, Any] = {
        "event_id": new_event_id(),
        "order_id": random_order_id(),
        "status": "confirmed",
        "reason": None,
        "sku": "tv.55",
        "customer_id": "c-1",
        "quantity": 1,
        "accepted_at": 1.0,
        "decided_at": 2.0,
    }
    return msgspec.convert(fields | changes, OrderEvent)


@dataclass
class Bench:
    """An open stack with services at work."""

    settings: Settings
    stack: Stack
    metrics: ServicesMetrics = field(default_factory=ServicesMetrics)

    @asynccontextmanager
    async def running(self, *services: Service[Any]) -> AsyncIterator[None]:
        """Run services, until the end in good order."""
        await self.stack.broker.extend(declared_by(self.settings, services))
        stop = asyncio.Event()
        working = asyncio.create_task(
            run_workers(self.settings, self.stack, services, self.metrics, stop)
        )
        try:
            for service in services:
                await self.until(lambda s=service: self._listens(s))  # type: ignore[misc]
            yield
        finally:
            stop.set()
            await working

    async def _listens(self, service: Service[Any]) -> bool:
        return (await self.stack.broker.depth(work_queue(self.prefix, service))).consumers > 0

    @property
    def prefix(self) -> str:
        return self.settings.broker_prefix

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await condition():
                await asyncio.sleep(0.02)

    async def publish(self, *events: OrderEvent) -> None:
        for event in events:
            await self.stack.broker.publish(
                self.stack.topology.events,
                event.topic,
                encode_event(event),
                message_id=event.event_id,
            )

    async def times(self) -> Counter[str]:
        """How often the effect of each event was written."""
        found = await rows(self.settings.database_url, "SELECT event_id, times FROM done_by_tests")
        return Counter({row.event_id: row.times for row in found})

    async def has_done(self, service: Service[Any], event: OrderEvent) -> bool:
        return bool(await self.stack.ledger.effects.done(service.name, [event.event_id]))

    async def done(self, *events: OrderEvent) -> None:
        """Wait until the effects of these events are there, and see that each is there once."""

        async def all_done() -> bool:
            return {event.event_id for event in events} <= set(await self.times())

        await self.until(all_done)
        assert set((await self.times()).values()) == {1}

    async def dead(self, service: Service[Any], count: int) -> Sequence[Delivery]:
        """Wait for so many dead letters."""

        async def there() -> bool:
            depth = await self.stack.broker.depth(dead_queue(self.prefix, service))
            return depth.ready == count

        await self.until(there)
        return await peek(self.stack.broker, self.dead_queue(service))

    def dead_queue(self, service: Service[Any]) -> DeadQueue:
        return DeadQueue(
            service.name, dead_queue(self.prefix, service), "", work_queue(self.prefix, service)
        )

    async def empty(self, service: Service[Any]) -> None:
        async def nothing_left() -> bool:
            depth = await self.stack.broker.depth(work_queue(self.prefix, service))
            return depth.ready == 0

        await self.until(nothing_left)

    def counted(self, metric: str, service: str = "probe") -> float:
        return self.metrics.registry.get_sample_value(metric, {"service": service}) or 0
