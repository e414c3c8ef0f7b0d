"""Measure how fast a consumer drains a backlog, by the times in the database."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import asyncpg
import psutil

from loadtest.bench.scale.testbed import UNPACED, Shop
from loadtest.measure.usage import process_tree, usage
from loadtest.measure.windows import per_second

# The first batches also prepare statements and fill caches.
WARM_UP = 2_000
_PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class Drained:
    """The unpaced rate in orders a second, and the processor time for an order in microseconds."""

    per_second: float
    cpu_us: float


def drain(shop: Shop, orders: int, **settings: str) -> float:
    """Return the unpaced rate in orders a second, of `orders` after the first 2,000."""
    return drain_cost(shop, orders, list, **settings).per_second


def drain_cost(
    shop: Shop, orders: int, servers: Callable[[], Iterable[psutil.Process]], **settings: str
) -> Drained:
    """Measure `orders` after the first 2,000: the rate, and the cost of the consumer and servers.

    On a machine that is busy with something else, the cost says more than the rate. Leave out the
    broker, whose runtime is busy while it waits. Raise ValueError for orders that were all decided
    between two looks.
    """
    started_at, before = time.time(), asyncio.run(_wait(shop, 0))
    with shop.consumer(**UNPACED | settings) as consumer:
        warm = asyncio.run(_wait(shop, before + WARM_UP))
        working = [*process_tree(consumer.pid), *servers()]
        spent = usage(working).cpu_seconds
        ended = asyncio.run(_wait(shop, before + WARM_UP + orders))
        spent = usage(working).cpu_seconds - spent
    if ended == warm:
        raise ValueError(f"{orders} orders are too few to measure their cost")
    batches = asyncio.run(_batches(shop, started_at))
    first = 0
    while first < WARM_UP:
        first += batches.pop(0)[1]
    return Drained(per_second(batches), 1e6 * spent / (ended - warm))


async def _wait(shop: Shop, wanted: int) -> int:
    """Wait until so many orders are confirmed or held; return their number."""
    connection = await asyncpg.connect(shop.dsn)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            # The sales table has the sum; counting orders would scan the whole table.
            while True:
                had = int(await connection.fetchval("SELECT sum(sold + held) FROM sales"))
                if had >= wanted:
                    return had
                await asyncio.sleep(0.01)
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
