"""The deliveries of a drain, each step in one transaction of the lease that the drain holds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict
from flashsale.ledger.delivery_port import Begun, Ended
from flashsale.ledger.drain_port import BeforeCommit, at_once
from flashsale.ledger.sql.delivery.beginning import Known, begin
from flashsale.ledger.sql.delivery.ending import end

Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Begins a transaction that is committed at the exit. Raises `LedgerError`."""


class SqlDeliveryBooks:
    """Writes what becomes of deliveries. See `flashsale.ledger.delivery_port.DeliveryBooks`."""

    def __init__(self, transaction: Transaction, before_begun: BeforeCommit = at_once) -> None:
        """Write in transactions of the session that holds the lease.

        `before_begun` is waited for last in each transaction that begins deliveries.
        """
        self._transaction = transaction
        self._before_begun = before_begun
        self._on_the_way: dict[OrderId, Order] = {}
        """The orders that the order service decides, begun here and not ended."""

    async def begin(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
        redelivered: Sequence[str] = (),
    ) -> Begun:
        """Begin the deliveries of a batch; see `flashsale.ledger.sql.delivery.beginning`."""
        async with self._transaction() as connection:
            known = Known(frozenset(replayed), frozenset(redelivered), self._on_the_way)
            begun = await begin(connection, batch, now, known, traceparents or {})
            await self._before_begun()
        for parcel in begun.parcels:
            if not parcel.decided:
                self._on_the_way[OrderId(parcel.order.id)] = parcel.order
        return begun

    async def end(self, ends: Sequence[Ended], now: float) -> Verdict:
        """Write the ends of deliveries; see `flashsale.ledger.sql.delivery.ending`."""
        async with self._transaction() as connection:
            verdict = await end(connection, ends, now)
        for ended in ends:
            self._on_the_way.pop(OrderId(ended.order.id), None)
        return verdict
