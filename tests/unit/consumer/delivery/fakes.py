"""A receiver in memory, and what is sent to it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from consumer.delivery.attempt_gate import AttemptGate
from consumer.drain_control import DrainControl
from flashsale.domain.delivery.answers import Answer, Taken
from flashsale.domain.delivery.receiver import Parcel
from flashsale.observability.delivery_metrics import DeliveryMetrics
from tests.conftest import an_order

Rule = Callable[[Parcel], Answer]


def takes(parcel: Parcel) -> Answer:
    """Take every order."""
    return Taken(f"ref-{parcel.order.id}")


@dataclass
class FakeReceiver:
    """Answers by a rule, and keeps what it was sent."""

    rule: Rule = takes
    requests: list[list[Parcel]] = field(default_factory=list)
    seen_at: list[float] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Requests are answered while it is set."""
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    async def send(self, parcels: Sequence[Parcel]) -> Sequence[Answer]:
        self.requests.append(list(parcels))
        self.seen_at.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            await self.open.wait()
            return [self.rule(parcel) for parcel in parcels]
        finally:
            self.at_once -= 1

    @property
    def ids(self) -> list[str]:
        """The ids of all attempts, in order."""
        return [parcel.order.id for request in self.requests for parcel in request]

    async def seen(self, requests: int) -> None:
        """Wait until it was sent so many requests."""
        async with asyncio.timeout(10):
            while len(self.requests) < requests:
                await asyncio.sleep(0.001)


def a_parcel(**changes: object) -> Parcel:
    """An order of which the receiver decides."""
    return Parcel(an_order(**changes), decided=False)


def a_gate(rate: int = 100_000, size: int = 1) -> tuple[DrainControl, AttemptGate]:
    """A gate that follows a control of its own."""
    control = DrainControl(rate)
    return control, AttemptGate(control, size, DeliveryMetrics(CollectorRegistry()))
