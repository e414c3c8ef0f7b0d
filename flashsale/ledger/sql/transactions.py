"""Begin transactions on PostgreSQL and on SQLite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.ledger.sql.engines.driver_errors import named_errors
from flashsale.ledger.sql.engines.postgresql import behind_pooler


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection for reading. Raises `LedgerError`."""
    with named_errors():
        async with engine.connect() as connection:
            yield connection


@asynccontextmanager
async def reading_once(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection for a single statement that reads. Raises `LedgerError`."""
    async with reading(engine) as connection:
        if connection.dialect.name == "postgresql" and not await behind_pooler(connection):
            # A single statement needs no BEGIN and COMMIT.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Begin a transaction for writing, and commit it at the exit. Raises `LedgerError`."""
    with named_errors():
        async with engine.connect() as connection:
            await connection.execution_options(flashsale_writes=True)
            async with connection.begin():
                yield connection
