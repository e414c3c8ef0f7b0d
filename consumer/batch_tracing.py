"""Spans of a batch: one for the whole batch, and one in the trace of each traced order."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flashsale.broker import Delivery
from flashsale.domain.orders import Order, Outcome

if TYPE_CHECKING:
    from flashsale.observability.spans import Span, Tracing


class BatchSpans:
    """The traced orders of one batch."""

    def __init__(self, orders: Mapping[str, "Span"]) -> None:
        """Keep the spans of the orders, by order id."""
        self._orders = orders

    @property
    def traceparents(self) -> Mapping[str, str]:
        """The traceparent of each traced order by its id, for the event that follows from it."""
        found = ((order_id, span.traceparent) for order_id, span in self._orders.items())
        return {order_id: parent for order_id, parent in found if parent is not None}

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Set the outcomes on the spans of the orders."""
        for outcome in outcomes:
            if (span := self._orders.get(outcome.order.id)) is not None:
                span.set("flashsale.order.status", outcome.status)
                if outcome.reason is not None:
                    span.set("flashsale.order.reason", outcome.reason)


@contextmanager
def batch_spans(
    tracing: "Tracing",
    queue: str,
    batch: Sequence[tuple[Delivery, Order]],
    released_at: float,
) -> Iterator[BatchSpans]:
    """Make spans that last from the release of a batch to its commit or its error.

    A batch without a traced order has no spans.
    """
    orders: dict[str, Span] = {}
    for delivery, order in batch:
        # An order may be in a batch twice; the first copy decides.
        if order.id not in orders:
            span = tracing.process("decide", queue, delivery, released_at)
            if span is not None:
                orders[order.id] = span
    if not orders:
        yield BatchSpans(orders)
        return
    whole = tracing.batch("sell", queue, len(batch), list(orders.values()), released_at)
    failure: BaseException | None = None
    try:
        yield BatchSpans(orders)
    except BaseException as error:
        failure = error
        raise
    finally:
        for span in (*orders.values(), whole):
            span.end(failure)
