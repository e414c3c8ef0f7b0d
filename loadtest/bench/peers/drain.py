"""Measure the drain of one contestant: at a fixed rate, and as fast as it can."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from loadtest.bench.peers.contestants import Contestant
from loadtest.bench.peers.testbed import SKU, BenchTestbed
from loadtest.load.closed_loop import closed_loop
from loadtest.measure.windows import Batches

RATE = 2_000

_FILL_LOOP_SECONDS = 2
_FILL_SECONDS = 30
_PATIENCE_SECONDS = 60
# A token bucket that is full at the start lets one more second of orders pass.
_MORE_SECONDS = 2


@dataclass(frozen=True)
class DrainResult:
    """The batches that were released to the database, with and without a limit."""

    paced: Batches
    unpaced: Batches


def drain(testbed: BenchTestbed, contestant: Contestant, script: Path, seconds: int) -> DrainResult:
    """Fill the queue with the contestant's gateway, then drain it twice for `seconds` each.

    Raises `RuntimeError` if the backlog does not last.
    """
    queue = contestant.queue
    backlog = RATE * (seconds + _MORE_SECONDS) + contestant.unpaced_orders
    with testbed.gateway(contestant) as (_, port):
        # The fill time is bounded: a contestant that fills slowly also drains slowly.
        deadline = time.monotonic() + _FILL_SECONDS
        while (ready := testbed.ready(queue)) < backlog and time.monotonic() < deadline:
            closed_loop(port, script, _FILL_LOOP_SECONDS)
    dsn = testbed.dsn(contestant)
    after = time.time()
    with testbed.consumer(contestant, contestant.paced, RATE):
        asyncio.run(_watch(dsn, seconds, ready))
    paced = asyncio.run(_released(dsn, after, seconds))
    left = testbed.ready(queue)
    if not left:
        raise RuntimeError(f"{contestant.title}: the backlog of {ready:,} did not last")
    after = time.time()
    with testbed.consumer(contestant, contestant.unpaced):
        asyncio.run(_watch(dsn, seconds, left))
    unpaced = asyncio.run(_released(dsn, after, seconds))
    testbed.empty(queue)
    return DrainResult(paced, unpaced)


async def _watch(dsn: str, seconds: int, orders: int) -> None:
    """Return when the drain has run for `seconds`, or has drained so many orders."""
    connection = await asyncpg.connect(dsn)
    try:
        # Each order is for one item and there is one sale, so `sold` is the number of orders.
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
    """Return the batches that were released in the first `seconds` of the drain."""
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
