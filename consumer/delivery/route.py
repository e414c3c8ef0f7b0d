"""The way to a receiver, which lasts longer than a lease."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consumer.delivery.attempt_gate import AttemptGate
from consumer.drain_control import DrainControl
from flashsale.domain.delivery.receiver import Receiver
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.delivery_metrics import DeliveryMetrics
from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.receiver import open_receiver


@dataclass(frozen=True, kw_only=True)
class Route:
    """A receiver, the gate in front of it, and how much it takes at once."""

    receiver: Receiver
    gate: AttemptGate
    concurrency: int
    """Most requests at once."""
    size: int = 1
    """Most orders in a request."""
    timeout_seconds: float = 10.0
    """How long a request may take."""

    @property
    def round(self) -> int:
        """The most orders that can be in flight."""
        return self.concurrency * self.size


@asynccontextmanager
async def open_route(
    address: ReceiverAddress, control: DrainControl, metrics: ConsumerMetrics
) -> AsyncIterator[Route]:
    """Open the route to an address, with metrics of its own beside those of the consumer."""
    size = address.batch or 1
    gate = AttemptGate(control, size, DeliveryMetrics(metrics.registry))
    async with open_receiver(address) as receiver:
        yield Route(
            receiver=receiver,
            gate=gate,
            concurrency=address.concurrency,
            size=size,
            timeout_seconds=address.timeout_seconds,
        )
