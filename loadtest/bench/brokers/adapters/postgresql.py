"""What both tables in PostgreSQL have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:  # asyncpg's pool is generic in its stubs only
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

QUEUED = """
CREATE TABLE IF NOT EXISTS queued (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL
);
"""

LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # such as the end of the server
    OSError,
)
"""The errors of a connection that is gone: nobody knows whether the order was written."""


@asynccontextmanager
async def open_pool(dsn: str, most: int, tables: str) -> AsyncIterator[Pool]:
    """Open a pool of at most so many connections, and create the tables."""
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=most)
    try:
        await pool.execute(tables)
        yield pool
    finally:
        pool.terminate()
