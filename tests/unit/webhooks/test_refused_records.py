"""Attempts that a database refuses to record: one of them costs the record of no other."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from prometheus_client import CollectorRegistry

from flashsale.domain.webhooks.deliveries import Attempt, AttemptResult, Claimed
from flashsale.ledger import Claims, LedgerRefused, Recorded, Room, WebhookQueue
from services.builtin.webhook.metrics import WebhookMetrics
from services.builtin.webhook.sender import Limits, Sender


def a_delivery(number: int) -> Claimed:
    return Claimed(
        id=number,
        claim="claim",
        endpoint_id="endpoint",
        url="https://a.example",
        secrets=(),
        event_id=f"event-{number}",
        type="order.confirmed",
        order_id=None,
        occurred_at=1.0,
        body="{}",
        traceparent=None,
        attempts=0,
    )


class TakesAll:
    """Delivers everything, and ends no delivery before all have begun."""

    def __init__(self, deliveries: int) -> None:
        self._together = asyncio.Barrier(deliveries)

    async def send(self, delivery: Claimed) -> Attempt:
        await self._together.wait()
        return Attempt(delivery, AttemptResult.DELIVERED, 1.0, 1)


@dataclass
class FakeQueue:
    """A table with deliveries, of which some attempts can't be written."""

    waiting: list[Claimed]
    refused: set[int]
    recorded: list[int] = field(default_factory=list)
    transactions: int = 0

    async def claim(self, now: float, lease_seconds: float, room: Room) -> Claims:
        claimed, self.waiting = self.waiting, []
        return Claims(claimed, None, 1)

    async def record(self, attempts: Sequence[Attempt], now: float) -> Recorded:
        self.transactions += 1
        ids = [attempt.delivery.id for attempt in attempts]
        if self.refused.intersection(ids):
            raise LedgerRefused("a value is out of range")
        self.recorded += ids
        return Recorded([])

    async def give_back(self, deliveries: Sequence[Claimed], now: float) -> None:
        raise AssertionError("all of them were attempted")


async def test_one_attempt_that_is_refused_costs_the_record_of_no_other() -> None:
    queue = FakeQueue([a_delivery(number) for number in range(100)], refused={17, 64})
    metrics = WebhookMetrics(registry := CollectorRegistry())
    sender = Sender(
        queue=cast("WebhookQueue", queue),
        client=TakesAll(100),
        limits=Limits(each=100, total=100, timeout_seconds=1.0),
        metrics=metrics,
        clock=lambda: 1.0,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(sender.run(stop))
    async with asyncio.timeout(20):
        while len(queue.recorded) < 98:
            await asyncio.sleep(0.001)
        stop.set()
        await running
    assert sorted(queue.recorded) == [number for number in range(100) if number not in (17, 64)]
    assert queue.transactions < 40
    labels = {"result": "delivered"}
    assert registry.get_sample_value("flashsale_webhook_attempts_total", labels) == 98
