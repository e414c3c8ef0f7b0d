"""A test's own way into the database, past the ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """A transaction on a connection of its own, committed at the end."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def execute(url: str, statement: str, **values: object) -> None:
    """Run one statement."""
    async with connected(url) as connection:
        await connection.execute(text(statement), values)


async def rows(url: str, select: str, **values: object) -> list[Row[Any]]:
    """What a SELECT finds."""
    async with connected(url) as connection:
        return list(await connection.execute(text(select), values))


async def event_ids(url: str) -> dict[str, str]:
    """The ids of the events in the outbox, by order id."""
    found = await rows(url, "SELECT order_id, event_id FROM outbox")
    return {row.order_id: row.event_id for row in found}
