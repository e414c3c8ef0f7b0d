"""How a transaction begins, on PostgreSQL and on SQLite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.ledger.sql.engines.driver_errors import named_errors
from flashsale.ledger.sql.engines.postgresql import behind_pooler


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read by. Raises `LedgerError`."""
    with named_errors():
        async with engine.connect() as connection:
            yield connection


@asynccontextmanager
async def reading_once(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection to read by in one statement. Raises `LedgerError`."""
    async with reading(engine) as connection:
        if connection.dialect.name == "postgresql" and not await behind_pooler(connection):
            # One statement needs no BEGIN and no end of its own.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction to write in, committed at the end. Raises `LedgerError`."""
    with named_errors():
        async with engine.connect() as connection:
            await connection.execution_options(flashsale_writes=True)
            async with connection.begin():
                yield connection
