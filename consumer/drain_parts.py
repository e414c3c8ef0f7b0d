"""What a drain needs, whether it decides orders in the ledger or delivers them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from consumer.announcer import Announcer
from consumer.dead_letters import DeadLetters
from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate
from flashsale.broker import Broker
from flashsale.ledger import Lease, Leases
from flashsale.observability.consumer_metrics import ConsumerMetrics

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing


@dataclass(kw_only=True, eq=False)
class DrainParts(Generic[Lease]):
    """The parts of a drain of the queue with that name."""

    broker: Broker
    queue: str
    leases: Leases[Lease]
    control: DrainControl
    gate: ReleaseGate
    dead_letters: DeadLetters
    announcer: Announcer
    wake_relay: Callable[[bool], None]
    """Called after each batch with whether more orders wait."""
    metrics: ConsumerMetrics
    tracing: "Tracing | None" = None
