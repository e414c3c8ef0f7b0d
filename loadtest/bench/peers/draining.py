"""One turn at draining a backlog into the database: at a fixed rate, and as fast as it goes."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from loadtest.bench.peers.arena import SKU, Arena
from loadtest.bench.peers.contestants import Contestant
from loadtest.load.closed_loop import closed_loop
from loadtest.measure.windows import Batches

RATE = 2_000

_FILL_LOOP_SECONDS = 2
_FILL_SECONDS = 30
_PATIENCE_SECONDS = 60
# A full bucket at the start lets one second's worth more pass.
_MORE_SECONDS = 2


@dataclass(frozen=True)
class Drained:
    """When orders were released to the database, and how many at a time."""

    paced: Batches
    unpaced: Batches


def drain(arena: Arena, contestant: Contestant, script: Path, seconds: int) -> Drained:
    """Fill the queue by its own gateway, then drain it twice, each for so many seconds.

    Raises `RuntimeError` if the backlog does not last.
    """
    queue = contestant.queue
    backlog = RATE * (seconds + _MORE_SECONDS) + contestant.unpaced_orders
    with arena.gateway(contestant) as (_, port):
        # One that is slow to fill its queue is slow to drain it, too.
        deadline = time.monotonic() + _FILL_SECONDS
        while (ready := arena.ready(queue)) < backlog and time.monotonic() < deadline:
            closed_loop(port, script, _FILL_LOOP_SECONDS)
    dsn = arena.dsn(contestant)
    after = time.time()
    with arena.consumer(contestant, contestant.paced, RATE):
        asyncio.run(_watch(dsn, seconds, ready))
    paced = asyncio.run(_released(dsn, after, seconds))
    left = arena.ready(queue)
    if not left:
        raise RuntimeError(f"{contestant.title}: the backlog of {ready:,} did not last")
    after = time.time()
    with arena.consumer(contestant, contestant.unpaced):
        asyncio.run(_watch(dsn, seconds, left))
    unpaced = asyncio.run(_released(dsn, after, seconds))
    arena.empty(queue)
    return Drained(paced, unpaced)


async def _watch(dsn: str, seconds: int, orders: int) -> None:
    """Return when the drain has run for so long, or has drained so many orders."""
    connection = await asyncpg.connect(dsn)
    try:
        # Every order is of one item, so the one row of the sale counts them all.
        count = f"SELECT sold FROM sales WHERE sku = '{SKU}'"
        before = await connection.fetchval(count)
        end = time.monotonic() + _PATIENCE_SECONDS
        started = False
        while time.monotonic() < end:
            drained = await connection.fetchval(count) - before
            if drained >= orders:
                return
            if drained and not started:
                started = True
                end = time.monotonic() + seconds
            await asyncio.sleep(0.1)
        if not started:
            raise RuntimeError(f"nothing drained in {_PATIENCE_SECONDS} s")
    finally:
        await connection.close()


async def _released(dsn: str, after: float, seconds: int) -> Batches:
    """What was released in so many seconds since the first of it; what the end cut off is out."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT decided_at, count(*) FROM orders WHERE decided_at > $1"
            " GROUP BY decided_at ORDER BY decided_at",
            after,
        )
    finally:
        await connection.close()
    start = rows[0][0]
    return [(moment, count) for moment, count in rows if moment <= start + seconds]
