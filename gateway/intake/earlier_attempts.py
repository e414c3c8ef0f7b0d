"""Before an order with a key is refused: find what became of an earlier attempt at it."""

import asyncio
import time

from flashsale.domain.errors import FlashsaleError
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.pacing import Pacer
from flashsale.ledger import LedgerError
from flashsale.messages.announcements import decision_on
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.queue_position import QueuePosition
from gateway.state.sales import KnownSales

_LONGEST_SECONDS = 1.0
# After the ledger was silent, refuse without asking it for so long.
_SILENT_SECONDS = 1.0
# Of the queries that the gateway may make, the share that checks what memory says.
_CHECKED_SHARE = 1 / 10


class AttemptUnknown(FlashsaleError):
    """Nobody can tell now whether there was an earlier attempt, and what became of it."""


class EarlierAttempts:
    """Finds an order by the id that its key gives it: in memory first, then in the ledger.

    A flood of refused orders with new keys must not become a flood of queries. So the ledger is
    asked if memory may lack the order, and else for a few orders a second only. Memory may lack an
    order that was announced before the gateway heard announcements, while it was cut off from
    them, or before an order that is forgotten. It lacks nothing that matters if that time was
    longer ago than `seconds`, or if the sale had sold nothing then.
    """

    def __init__(
        self,
        orders: KnownOrders,
        sales: KnownSales,
        queue_position: QueuePosition,
        lookup: LedgerLookup,
        *,
        queries: int,
        seconds: float,
    ) -> None:
        """`lookup` makes at most `queries` a second; retries come within `seconds`."""
        self._orders = orders
        self._sales = sales
        self._queue_position = queue_position
        self._lookup = lookup
        self._seconds = seconds
        self._checks = Pacer(max(1, int(queries * _CHECKED_SHARE)), 1)
        self._silent_until = 0.0

    async def find(self, order_id: OrderId, sku: str) -> KnownOrder | None:
        """Return the order that an earlier attempt made, None if there was none.

        Raises `AttemptUnknown` if nobody can know, after a second at the latest.
        """
        order = self._orders.get(order_id)
        if order is not None:
            return order
        now = time.monotonic()
        if not self._remembers(sku, now) or self._checks.take(now, 1):
            order = await self._look_up(order_id, now)
        if order is None and self._queue_position.unannounced:
            raise AttemptUnknown("it may wait in the queue")
        return order

    async def latest(self, order: KnownOrder) -> KnownOrder:
        """Return a known order as it is now: one that failed may have been replayed since."""
        if order.status is not Status.FAILED:
            return order
        try:
            return await self._look_up(order.order_id, time.monotonic()) or order
        except AttemptUnknown:
            return order

    async def with_owner(self, order: KnownOrder) -> KnownOrder:
        """Return a known order with its customer, if the ledger has it. Raises `AttemptUnknown`."""
        return await self._look_up(order.order_id, time.monotonic()) or order

    def _remembers(self, sku: str, now: float) -> bool:
        """Whether memory holds every order of the sale that a client may send again."""
        since = self._orders.complete_since
        return since <= now - self._seconds or since <= self._sales.unsold_at(sku)

    async def _look_up(self, order_id: OrderId, now: float) -> KnownOrder | None:
        if now < self._silent_until:
            raise AttemptUnknown("the ledger did not answer a moment ago")
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                outcome = await self._lookup.find(order_id)
        except (LedgerError, TimeoutError) as error:
            self._silent_until = time.monotonic() + _SILENT_SECONDS
            raise AttemptUnknown("the ledger does not answer") from error
        if outcome is None:
            # It may have been announced in the meantime.
            return self._orders.get(order_id)
        return self._orders.add_decided(decision_on(outcome))
