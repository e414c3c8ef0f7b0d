"""The known orders that are held or wait in line: a later state follows, and may be missed."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import OPEN_IN_LEDGER, Status

if TYPE_CHECKING:
    from gateway.state.orders import KnownOrder

_NEWS_SECONDS = 2.0
_MOST_SEEN = 1_000
_MOST_ASKED = 100


class OpenOrders:
    """Orders that are held or wait in line, some of which are looked at in turn."""

    def __init__(self) -> None:
        self._open: OrderedDict[OrderId, KnownOrder] = OrderedDict()
        self._end: float | None = None

    def note(self, order: "KnownOrder") -> None:
        """Keep an order while it is open."""
        if order.status in OPEN_IN_LEDGER:
            self._open.setdefault(order.order_id, order)
            # The holds of a batch end at the same moment, so they share one object.
            if order.expires_at == self._end:
                order.expires_at = self._end
            else:
                self._end = order.expires_at
        elif self._open:
            self._open.pop(order.order_id, None)

    def forget(self, order_id: OrderId) -> None:
        """Keep an order no longer."""
        self._open.pop(order_id, None)

    def doubtful(self, now: float) -> list[OrderId]:
        """Return some orders that may have another state at Unix time `now`, others each time.

        A hold that should have ended, and orders in line, which may be served at any time.
        """
        return list(islice(self._look(now), _MOST_ASKED))

    def all(self) -> list[OrderId]:
        """Return all of them."""
        return list(self._open)

    def _look(self, now: float) -> Iterator[OrderId]:
        for order_id in list(islice(self._open, _MOST_SEEN)):
            order = self._open[order_id]
            self._open.move_to_end(order_id)
            ends = (order.expires_at or 0.0) + GRACE_SECONDS + _NEWS_SECONDS
            if order.status is Status.WAITLISTED or ends < now:
                yield order_id
