"""The ledger as a sink: decide and write a batch in one transaction of a held lease."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds.rule import Allowance
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict
from flashsale.ledger.drain_port import NOTHING_ELSE, BeforeCommit, at_once
from flashsale.ledger.sql.bulk import insert_columns
from flashsale.ledger.sql.holds.batches import decide_batch
from flashsale.ledger.sql.sell import Steps
from flashsale.ledger.sql.tables import orders

Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""Begins a transaction that is committed at the exit. Raises `LedgerError`."""


class SqlSink:
    """Decides orders by the rule of the sale and the tables. See `flashsale.ledger.port.Sink`."""

    def __init__(self, transaction: Transaction, before_commit: BeforeCommit = at_once) -> None:
        """Write in transactions of the session that holds the lease."""
        self._transaction = transaction
        self._before_commit = before_commit
        self.steps: Mapping[str, float] = {}

    async def sell(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
        allowance: Allowance = NOTHING_ELSE,
    ) -> Verdict:
        """Decide a batch in one transaction; see `flashsale.ledger.sql.holds.batches`."""
        steps = Steps()
        async with self._transaction() as connection:
            verdict = await decide_batch(
                connection, batch, now, replayed, traceparents, allowance, steps
            )
            await self._before_commit()
            steps.done("pace")
        steps.done("commit")
        self.steps = steps.seconds
        return verdict

    async def fail(
        self, order_id: OrderId, reason: str, now: float, customer_id: str | None = None
    ) -> None:
        """Record an order as failed, unless it is decided, and whose it is, if that is known."""
        async with self._transaction() as connection:
            known = await connection.execute(select(orders.c.id).where(orders.c.id == order_id))
            if known.first() is None:
                await insert_columns(
                    connection,
                    orders,
                    {
                        "id": [order_id],
                        "customer_id": [customer_id],
                        "status": [Status.FAILED.value],
                        # PostgreSQL stores any character but NUL in a text.
                        "reason": [reason.replace("\0", "")],
                        "decided_at": now,
                    },
                )
            await self._before_commit()
