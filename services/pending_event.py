"""An event that a worker has taken and not finished."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flashsale.broker import Deliveries, Delivery
from flashsale.ledger import Effects
from flashsale.messages.events import OrderEvent

if TYPE_CHECKING:
    from flashsale.observability.spans import Span


@dataclass(eq=False)
class PendingEvent:
    """An event, its effects and its unacknowledged copies. A copy may arrive at any time."""

    delivery: Delivery
    event: OrderEvent
    effects: Effects
    copies: list[tuple[Deliveries, Delivery]] = field(default_factory=list)
    span: "Span | None" = None

    def finish(self, error: Exception | None = None) -> None:
        """Acknowledge all copies, and end the span, with the error of a failed attempt."""
        for deliveries, delivery in self.copies:
            deliveries.ack(delivery)
        if self.span is not None:
            self.span.end(error)

    def give_back(self, error: BaseException) -> None:
        """End the span with the error, and leave all copies for the queue to deliver again."""
        if self.span is not None:
            self.span.end(error)
