"""Measure how fast a consumer drains a backlog, by the times in the database."""

import asyncio
import time

import asyncpg

from loadtest.bench.scale.testbed import UNPACED, Shop
from loadtest.measure.windows import per_second

# The first batches also prepare statements and fill caches.
WARM_UP = 2_000
_PATIENCE_SECONDS = 180


def drain(shop: Shop, orders: int, **settings: str) -> float:
    """Return the unpaced rate in orders a second, of `orders` after the first 2,000."""
    started_at, before = time.time(), asyncio.run(_wait(shop, 0))
    with shop.consumer(**UNPACED | settings):
        asyncio.run(_wait(shop, before + WARM_UP + orders))
    batches = asyncio.run(_batches(shop, started_at))
    warm = 0
    while warm < WARM_UP:
        warm += batches.pop(0)[1]
    return per_second(batches)


async def _wait(shop: Shop, wanted: int) -> int:
    """Wait until so many orders are confirmed; return their number."""
    connection = await asyncpg.connect(shop.dsn)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            # The sales table has the sum; counting orders would scan the whole table.
            while True:
                sold = int(await connection.fetchval("SELECT sum(sold) FROM sales"))
                if sold >= wanted:
                    return sold
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def _batches(shop: Shop, after: float) -> list[tuple[float, int]]:
    """Return the batches that were released after that Unix time."""
    connection = await asyncpg.connect(shop.dsn)
    try:
        rows = await connection.fetch(
            "SELECT decided_at, count(*) FROM orders WHERE decided_at > $1"
            " GROUP BY decided_at ORDER BY decided_at",
            after,
        )
        return [(moment, count) for moment, count in rows]
    finally:
        await connection.close()
