"""The ledger in PostgreSQL or SQLite: sales and the outcomes of orders."""

import secrets as random_secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy import MetaData, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.domain.audit_entries import PROGRAM, Author
from flashsale.domain.holds.cancellations import CancelRefusal, ExtendRefusal
from flashsale.domain.holds.payments import Payment
from flashsale.domain.operators.sale_changes import SaleChange
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger.balance_report import Books
from flashsale.ledger.errors import LedgerRefused, SchemaOutdated
from flashsale.ledger.hold_port import Cancellation, Cancelled, Extended, PaymentsTaken
from flashsale.ledger.holdings import Holdings
from flashsale.ledger.order_pages import DecidedOrder, OrderQuery
from flashsale.ledger.port import Ledger
from flashsale.ledger.rankings import Buyer, RankingQuery
from flashsale.ledger.sql import schema
from flashsale.ledger.sql.balance_check import audit
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.drain_lease import SqlDrainLease, hold_drain, hold_only_drain
from flashsale.ledger.sql.effects import SqlEffectStore
from flashsale.ledger.sql.engines.address import postgres_address
from flashsale.ledger.sql.engines.postgresql import OWN_SCHEMA, Postgres
from flashsale.ledger.sql.engines.sqlite import sqlite_engine
from flashsale.ledger.sql.holdings import holdings
from flashsale.ledger.sql.holds.cancellations import cancel, extend
from flashsale.ledger.sql.holds.payments import take_payments
from flashsale.ledger.sql.operators import sale_changes
from flashsale.ledger.sql.operators.audit_log import SqlAuditLog
from flashsale.ledger.sql.operators.controls import SqlControlBoard
from flashsale.ledger.sql.operators.order_pages import decided_orders
from flashsale.ledger.sql.outbox import SqlOutbox
from flashsale.ledger.sql.sell import as_outcome, as_sale
from flashsale.ledger.sql.tables import orders, sales, secrets
from flashsale.ledger.sql.transactions import reading, reading_once, writing
from flashsale.ledger.sql.webhooks.board import SqlWebhookBoard
from flashsale.ledger.sql.webhooks.queue import SqlWebhookQueue
from flashsale.ledger.totals import Totals


class SqlLedger:
    """The ledger in PostgreSQL or SQLite. See `flashsale.ledger.port.Ledger`."""

    def __init__(
        self, engine: AsyncEngine, by_key: AsyncEngine, database: Postgres | None = None
    ) -> None:
        """Use `by_key` for queries that read by key only, however large the tables are.

        `database` is None for a SQLite file.
        """
        self._engine = engine
        self._by_key = by_key
        self._database = database
        self.outbox = SqlOutbox(engine, by_key)
        self.effects = SqlEffectStore(by_key)
        self.controls = SqlControlBoard(engine)
        self.audit_log = SqlAuditLog(engine)
        self.webhooks = SqlWebhookBoard(engine)
        self.webhook_queue = SqlWebhookQueue(by_key)

    async def migrate(self, services: Sequence[MetaData] = ()) -> str:
        """Upgrade the tables to this version; return their revision.

        `services` are the tables of services, which move with ours. Raises `SchemaRefused`.
        """
        async with writing(self._engine) as connection:
            return await connection.run_sync(schema.upgrade, services)

    async def verify_schema(self) -> None:
        """Raise `SchemaOutdated` unless the tables are at the revision of this version."""
        async with reading(self._engine) as connection:
            await connection.run_sync(schema.verify)

    async def create_sale(
        self,
        sale: Sale,
        author: Author = PROGRAM,
        check: Callable[[Sale, float], None] | None = None,
    ) -> Sale:
        """Add a sale. Raises `LedgerRefused` if the sku has a sale already, or `KeyTaken`."""
        async with writing(self._engine) as connection:
            return await sale_changes.create(connection, sale, author, check)

    async def sales(self) -> list[Sale]:
        """Return all sales, sorted by sku."""
        async with reading_once(self._engine) as connection:
            rows = await connection.execute(select(sales).order_by(sales.c.sku))
            return [as_sale(row) for row in rows]

    async def find_sale(self, sku: str) -> Sale:
        """Return a sale. Raises `SaleUnknown`."""
        async with reading(self._engine) as connection:
            return await sale_changes.find(connection, sku)

    async def change_sale(
        self, sku: str, change: SaleChange, author: Author, version: int | None = None
    ) -> Sale:
        """Change a sale in one transaction, which also writes the audit."""
        async with writing(self._engine) as connection:
            return await sale_changes.change(connection, sku, change, author, version)

    async def delete_sale(self, sku: str, author: Author, version: int | None = None) -> None:
        """Delete a sale that never sold and that no decided order names."""
        async with writing(self._engine) as connection:
            await sale_changes.delete(connection, sku, author, version)

    async def decided_orders(self, query: OrderQuery) -> list[DecidedOrder]:
        """Return the orders that the query asks for, the newest decision first."""
        async with reading(self._engine) as connection:
            return await decided_orders(connection, query)

    async def take_payments(self, payments: Sequence[Payment], now: float) -> PaymentsTaken:
        """Take in payments at Unix time `now`, in their order, in one transaction."""
        async with writing(self._by_key) as connection:
            return await take_payments(connection, payments, now)

    async def cancel(self, cancellation: Cancellation, now: float) -> Cancelled | CancelRefusal:
        """Cancel an order at Unix time `now`, one that is still queued, too."""
        async with writing(self._by_key) as connection:
            return await cancel(connection, cancellation, now)

    async def extend(
        self, order_id: str, now: float, customer_id: str | None = None
    ) -> Extended | ExtendRefusal:
        """Extend a hold by the time that the sale gives, once."""
        async with writing(self._by_key) as connection:
            return await extend(connection, order_id, now, customer_id)

    async def find(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        """Return the outcomes of those of these orders that are decided."""
        async with reading_once(self._engine) as connection:
            rows = await connection.execute(
                select(orders).where(among(connection.dialect.name, orders.c.id, "ids")),
                {"ids": order_ids},
            )
            return {OrderId(row.id): as_outcome(row) for row in rows}

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        """Return every decided order of a sale, and every failed one, by id."""
        async with reading(self._engine) as connection:
            mine = (orders.c.sku == sku) | (orders.c.sku.is_(None))
            rows = await connection.execute(select(orders).where(mine))
            return {row.id: as_outcome(row) for row in rows}

    async def top_buyers(self, query: RankingQuery, sku: str, at_most: int) -> list[Buyer]:
        """Return the top buyers of a sale; an empty list if the service has no table yet."""
        try:
            async with reading(self._engine) as connection:
                rows = await connection.execute(text(query), {"sku": sku, "at_most": at_most})
                return [Buyer(row.customer_id, row.bought) for row in rows]
        except SchemaOutdated:
            return []

    async def audit(self) -> Books:
        """Check the rules of the books, on one snapshot of all tables."""
        async with self._snapshot() as connection:
            return await audit(connection)

    async def holdings(
        self, skus: Collection[str], totals: Mapping[str, Totals] | None = None
    ) -> Holdings:
        """Return the contents of the ledger about these sales, on one snapshot of all tables."""
        async with self._snapshot() as connection:
            return await holdings(connection, skus, totals or {})

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Read from one snapshot of all tables, also during a sale."""
        async with reading(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    async def secret(self) -> bytes:
        """Return the secret of the order ids. The first caller creates it."""
        mine = {"name": "order-ids", "value": random_secrets.token_hex(32)}
        try:
            async with writing(self._engine) as connection:
                await connection.execute(insert(secrets).values(mine))
        except LedgerRefused:
            pass  # another process has created it
        async with reading(self._engine) as connection:
            value = await connection.scalar(
                select(secrets.c.value).where(secrets.c.name == mine["name"])
            )
            return bytes.fromhex(str(value))

    def hold_drain(self, name: str) -> AbstractAsyncContextManager[SqlDrainLease]:
        """Wait until no other drain holds the lease of that name, and hold it until the exit."""
        if self._database is None:
            return hold_only_drain(self._engine, name)
        return hold_drain(self._database, self._engine, name)


@asynccontextmanager
async def open_ledger(url: str, database_schema: str = OWN_SCHEMA) -> AsyncIterator[Ledger]:
    """Open the ledger at `postgresql+asyncpg://...` or `sqlite+aiosqlite:///FILE`.

    In PostgreSQL the tables are in `database_schema`. Raises `ValueError` if the address is wrong.
    """
    database = None
    if url.startswith("sqlite"):
        engine = by_key = sqlite_engine(url)
    else:
        database = Postgres(postgres_address(url), database_schema)
        engine, by_key = database.engine(), database.by_key()
    try:
        yield SqlLedger(engine, by_key, database)
    finally:
        await engine.dispose()
        await by_key.dispose()
