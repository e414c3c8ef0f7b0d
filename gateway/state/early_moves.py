"""States of orders that were announced before the orders themselves.

The announcements of one process come in its order, those of two in any. So the payment of a hold
may be heard before the hold.
"""

from collections import OrderedDict

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import may_become
from flashsale.messages.announcements import Decision

# They wait for moments only. After a restart, most are of orders that nobody will announce again.
_MOST = 1_000


class EarlyMoves:
    """The latest states of orders that are not known, for when they are; a bounded number."""

    def __init__(self) -> None:
        self._moves: OrderedDict[str, Decision] = OrderedDict()

    def __contains__(self, order_id: str) -> bool:
        """Return whether a later state of the order was announced."""
        return order_id in self._moves

    def keep(self, decision: Decision) -> None:
        """Keep the state of an order, unless a later one is kept."""
        kept = self._moves.get(decision.id)
        if kept is not None and may_become(decision.status, kept.status):
            return
        self._moves[decision.id] = decision
        if len(self._moves) > _MOST:
            self._moves.popitem(last=False)

    def pop(self, order_id: OrderId) -> Decision:
        """Return the state of an order, which is known now. Raises `KeyError` if there is none."""
        return self._moves.pop(order_id)
