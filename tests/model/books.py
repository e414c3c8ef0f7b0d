"""The ledgers that the machine plays on."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.audit_entries import PROGRAM, Author
from flashsale.domain.controls import Controls
from flashsale.domain.holds.cancellations import CancelRefusal, ExtendRefusal
from flashsale.domain.holds.payments import Payment
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger.drain_port import BeforeCommit, at_once
from flashsale.ledger.hold_port import (
    Cancellation,
    Cancelled,
    Due,
    Extended,
    PaymentsTaken,
)
from flashsale.ledger.sql.balance_check import audit
from flashsale.ledger.sql.engines.driver_errors import named_errors
from flashsale.ledger.sql.holds import cancellations
from flashsale.ledger.sql.holds.due import find_due
from flashsale.ledger.sql.holds.payment_tables import payment_webhooks, payments
from flashsale.ledger.sql.holds.payments import take_payments
from flashsale.ledger.sql.sell import as_outcome, as_sale
from flashsale.ledger.sql.sink import SqlSink
from flashsale.ledger.sql.tables import orders, outbox, sales
from tests.model.quick_ledger import QuickLedger


class QuickBooks:
    """In dictionaries."""

    def __init__(self, offered: Sequence[Sale]) -> None:
        self.ledger = self._quick = QuickLedger(offered)

    async def change(self, sale: Sale) -> None:
        sold = self._quick.terms[sale.sku].sold
        self._quick.terms[sale.sku] = replace(sale, sold=sold)

    async def rows(self) -> tuple[Mapping[OrderId, Outcome], Counter[tuple[str, str]]]:
        return self._quick.orders, Counter(self._quick.events.items())

    async def wrong(self) -> Sequence[str]:
        return ()


class SqlBooks:
    """In the product's tables, by its own statements, emptied for each sale."""

    def __init__(self, connection: AsyncConnection) -> None:
        """On a connection that does everything at once."""
        self._connection = connection
        self.ledger = AtOnceLedger(connection)

    async def begin(self, offered: Sequence[Sale]) -> None:
        """Offer these sales and nothing else."""
        for table in (outbox, orders, payments, payment_webhooks, sales):
            await self._connection.execute(delete(table))
        await self._connection.execute(insert(sales), [vars(sale) for sale in offered])
        await self._connection.commit()

    async def change(self, sale: Sale) -> None:
        terms = {"opens_at": sale.opens_at, "closes_at": sale.closes_at}
        await self._connection.execute(update(sales).where(sales.c.sku == sale.sku).values(terms))
        await self._connection.commit()

    async def rows(self) -> tuple[Mapping[OrderId, Outcome], Counter[tuple[str, str]]]:
        outcomes = [as_outcome(row) for row in await self._connection.execute(select(orders))]
        events = await self._connection.execute(select(outbox))
        return (
            {OrderId(outcome.order.id): outcome for outcome in outcomes},
            Counter((row.order_id, row.topic) for row in events),
        )

    async def wrong(self) -> Sequence[str]:
        return (await audit(self._connection)).wrong


class AtOnceLedger:
    """On one connection, each call a transaction in which nothing else has a turn.

    So what is committed is known to the model at once, whoever dies meanwhile.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create_sale(self, sale: Sale, author: Author = PROGRAM) -> Sale:
        await self._connection.execute(insert(sales).values(vars(sale)))
        await self._connection.commit()
        return sale

    async def sales(self) -> list[Sale]:
        return [as_sale(row) for row in await self._connection.execute(select(sales))]

    async def find(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        rows = await self._connection.execute(select(orders).where(orders.c.id.in_(order_ids)))
        return {OrderId(row.id): as_outcome(row) for row in rows}

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        mine = (orders.c.sku == sku) | (orders.c.sku.is_(None))
        rows = await self._connection.execute(select(orders).where(mine))
        return {row.id: as_outcome(row) for row in rows}

    async def take_payments(self, payments: Sequence[Payment], now: float) -> PaymentsTaken:
        async with _transaction(self._connection) as connection:
            return await take_payments(connection, payments, now)

    async def cancel(self, cancellation: Cancellation, now: float) -> Cancelled | CancelRefusal:
        async with _transaction(self._connection) as connection:
            return await cancellations.cancel(connection, cancellation, now)

    async def extend(
        self, order_id: str, now: float, customer_id: str | None = None
    ) -> Extended | ExtendRefusal:
        async with _transaction(self._connection) as connection:
            return await cancellations.extend(connection, order_id, now, customer_id)

    @asynccontextmanager
    async def hold_drain(self, name: str) -> AsyncIterator["AtOnceLease"]:
        yield AtOnceLease(self._connection)


class AtOnceLease:
    """A lease with the product's own sink, whose transactions end in one step."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.controls = Controls()
        self.kept_rate: float | None = None
        self.clock_reading = None

    def open_sink(self, before_commit: BeforeCommit = at_once) -> SqlSink:
        # Its transactions end in one step.
        return SqlSink(lambda: _transaction(self._connection))

    async def touch(self) -> None:
        """There is no session."""

    async def due(self, now: float, most: int) -> Due:
        return await find_due(self._connection, now, most)


@asynccontextmanager
async def _transaction(connection: AsyncConnection) -> AsyncIterator[AsyncConnection]:
    with named_errors():
        try:
            yield connection
        except BaseException:
            await connection.rollback()
            raise
        await connection.commit()
