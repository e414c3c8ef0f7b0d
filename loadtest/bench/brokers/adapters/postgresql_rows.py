"""A table in PostgreSQL as most people write it: an INSERT for each order, over a pool.

The bound is a count without a lock, so concurrent inserts pass it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from loadtest.bench.brokers.adapters.postgresql import LOST, QUEUED, Pool, open_pool
from loadtest.bench.brokers.port import Full, Lost, OrderQueue, Taken

_CONNECTIONS = 16
# Counting stops at the bound, as counting a long table takes milliseconds.
_PUSH = """
INSERT INTO queued (body)
SELECT $1 WHERE (SELECT count(*) FROM (SELECT FROM queued LIMIT $2) AS counted) < $2
"""
_PUSH_WITHOUT_BOUND = "INSERT INTO queued (body) VALUES ($1)"
_TAKE = """
DELETE FROM queued WHERE id IN (
    SELECT id FROM queued ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
) RETURNING id, body
"""
_LARGEST_COUNTED = 1_000_000


@asynccontextmanager
async def open_postgresql_rows(dsn: str, bound: int) -> AsyncIterator[OrderQueue]:
    """Open the table, with 16 connections to publish and one to take."""
    async with open_pool(dsn, _CONNECTIONS + 1, QUEUED) as pool:
        yield PostgresRows(pool, bound)


class PostgresRows(OrderQueue):
    """The table. Orders are taken in a transaction that ends with their acknowledgement."""

    def __init__(self, pool: Pool, bound: int) -> None:
        self._pool = pool
        self._bound = bound
        self._publishing = asyncio.Semaphore(_CONNECTIONS)
        self._consumer: asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None = None

    async def publish(self, body: bytes) -> None:
        """Insert a row; its commit is the confirm."""
        try:
            async with self._publishing:
                if self._bound > _LARGEST_COUNTED:
                    await self._pool.execute(_PUSH_WITHOUT_BOUND, body)
                elif await self._pool.execute(_PUSH, body, self._bound) == "INSERT 0 0":
                    raise Full
        except LOST as error:
            raise Lost from error

    async def take(self, at_most: int) -> list[Taken]:
        """Begin a transaction and take the oldest rows that nobody else has taken."""
        if self._consumer is None:
            self._consumer = await self._pool.acquire()
        await self._consumer.execute("BEGIN")
        rows = await self._consumer.fetch(_TAKE, at_most)
        if not rows:
            await self._consumer.execute("ROLLBACK")
        taken = [Taken(row["id"], row["body"]) for row in rows]
        return sorted(taken, key=lambda one: int(one.tag))

    async def ack(self, taken: Sequence[Taken]) -> None:
        """Commit the transaction that took these."""
        if self._consumer is not None:
            await self._consumer.execute("COMMIT")

    async def depth(self) -> int:
        """Return the rows; those in hand count, as their transaction has not ended."""
        return int(await self._pool.fetchval("SELECT count(*) FROM queued"))
