"""Cancel orders, and extend holds, for shoppers and operators."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from flashsale.domain.audit_entries import Author
from flashsale.domain.holds.cancellations import CancelRefusal, ExtendRefusal
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Verdict
from flashsale.ledger import (
    Cancellation,
    Cancellations,
    Cancelled,
    LedgerUnavailable,
)
from flashsale.messages.announcements import decision_on
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.sales import KnownSales

# Each is a transaction that locks the row of its sale, and the gateway needs the other connections.
_MOST_AT_ONCE = 2
_LONGEST_SECONDS = 10.0

_OVER = frozenset({Status.REJECTED})
_NOT_HELD = frozenset({Status.CONFIRMED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED})


class OrderChanges:
    """Changes orders in the ledger, and answers from memory what can't be changed any more.

    So a client that asks again and again keeps no sale locked.
    """

    def __init__(
        self,
        ledger: Cancellations,
        orders: KnownOrders,
        sales: KnownSales,
        clock: Callable[[], float],
        announce: Callable[[Verdict], None],
    ) -> None:
        """`clock` tells the Unix time; `announce` tells every gateway what has changed."""
        self._ledger = ledger
        self._orders = orders
        self._sales = sales
        self._clock = clock
        self._announce = announce
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    async def cancel(
        self, order: KnownOrder, customer_id: str | None, author: Author | None = None
    ) -> KnownOrder | CancelRefusal:
        """Return the cancelled order. `author` is the operator who cancels it, if one does.

        Raises `LedgerError`: then nobody knows, and it may be asked for again.
        """
        if author is None:
            if order.status is Status.CANCELLED:
                return order
            if (known := self._why_not_cancel(order)) is not None:
                return known
        wanted = Cancellation(
            order.order_id,
            _queued(order) if order.status is Status.QUEUED else None,
            customer_id,
            author is not None,
            author,
        )
        async with self._turn():
            done = await self._ledger.cancel(wanted, self._clock())
        if not isinstance(done, Cancelled):
            return done
        if done.verdict.moved:
            self._announce(done.verdict)
        return self._known(done.outcome)

    async def extend(
        self, order: KnownOrder, customer_id: str | None
    ) -> KnownOrder | ExtendRefusal:
        """Return the order with the extended hold. Raises `LedgerError`, as `cancel` does."""
        if order.status in _NOT_HELD:
            return ExtendRefusal.NOT_HELD
        if order.extended:
            return ExtendRefusal.EXTENDED_ALREADY
        async with self._turn():
            done = await self._ledger.extend(order.order_id, self._clock(), customer_id)
        if isinstance(done, ExtendRefusal):
            return done
        self._announce(Verdict([], [], [done.outcome]))
        return self._known(done.outcome)

    def _why_not_cancel(self, order: KnownOrder) -> CancelRefusal | None:
        if order.status in _OVER:
            return CancelRefusal.OVER
        sale = self._sales.get(order.sku)
        fixed = order.status is Status.CONFIRMED and sale is not None and not sale.cancellable
        return CancelRefusal.NOT_CANCELLABLE if fixed else None

    def _known(self, outcome: Outcome) -> KnownOrder:
        return self._orders.add_decided(decision_on(outcome))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise LedgerUnavailable("too many orders are to be changed at once") from error
        try:
            yield
        finally:
            self._turns.release()


def _queued(order: KnownOrder) -> Order:
    """Return a queued order as far as it is known, and about when it was accepted."""
    accepted_at = time.time() - (time.monotonic() - order.known_at)
    return Order(order.order_id, order.sku, order.customer_id or "", order.quantity, accepted_at)
