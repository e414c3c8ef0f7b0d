"""A table in PostgreSQL, written in batches. A counter row holds the exact bound."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from loadtest.bench.brokers.adapters.postgresql import LOST, QUEUED, Pool, open_pool
from loadtest.bench.brokers.batching import Batcher
from loadtest.bench.brokers.port import Lost, OrderQueue, Taken

_TABLES = f"""
{QUEUED}
CREATE TABLE IF NOT EXISTS queue_length (
    id int PRIMARY KEY CHECK (id = 1), orders bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO queue_length VALUES (1, 0) ON CONFLICT DO NOTHING;
"""

# The row is named by its key. Without it the planner expects thousands of rows, and compiles each
# batch by its JIT, which takes milliseconds.
# The lock on the counter makes batches commit in the order of their ids, so that a reader that
# continues after the last id that it saw misses none.
_PUSH = """
WITH before AS (SELECT id, orders FROM queue_length WHERE id = 1 FOR UPDATE),
changed AS (
    UPDATE queue_length q SET orders = greatest(before.orders, least(before.orders + $2, $1))
    FROM before WHERE q.id = 1 RETURNING q.orders - before.orders AS room
),
written AS (
    INSERT INTO queued (body)
    SELECT body FROM unnest($3::bytea[]) WITH ORDINALITY AS batch (body, number)
    WHERE number <= (SELECT room FROM changed) ORDER BY number
)
SELECT room FROM changed
"""
_TAKE = "SELECT id, body FROM queued WHERE id > $1 ORDER BY id LIMIT $2"
_ACK = """
WITH deleted AS (DELETE FROM queued WHERE id <= $1 RETURNING 1)
UPDATE queue_length SET orders = orders - (SELECT count(*) FROM deleted) WHERE id = 1
"""


@asynccontextmanager
async def open_postgresql_batches(dsn: str, bound: int) -> AsyncIterator[OrderQueue]:
    """Open the table, with a connection to publish and one to take."""
    async with open_pool(dsn, 2, _TABLES) as pool:
        yield PostgresBatches(pool, bound)


class PostgresBatches(OrderQueue):
    """The table, the counter, and a cursor of the one consumer."""

    def __init__(self, pool: Pool, bound: int) -> None:
        self._pool = pool
        self._bound = bound
        self._batcher = Batcher(self._push)
        self._last_taken = 0

    async def publish(self, body: bytes) -> None:
        """Publish with the next batch; its commit is the confirm."""
        await self._batcher.publish(body)

    async def _push(self, bodies: list[bytes]) -> int:
        try:
            return int(await self._pool.fetchval(_PUSH, self._bound, len(bodies), bodies))
        except LOST as error:
            raise Lost from error

    async def take(self, at_most: int) -> list[Taken]:
        """Read on after the last order that was taken."""
        rows = await self._pool.fetch(_TAKE, self._last_taken, at_most)
        if rows:
            self._last_taken = rows[-1]["id"]
        return [Taken(row["id"], row["body"]) for row in rows]

    async def ack(self, taken: Sequence[Taken]) -> None:
        """Delete everything up to the last of these."""
        await self._pool.execute(_ACK, taken[-1].tag)

    async def depth(self) -> int:
        """Return the rows that were not taken."""
        count = "SELECT count(*) FROM queued WHERE id > $1"
        return int(await self._pool.fetchval(count, self._last_taken))
