"""What it costs the drain to find and end the holds that are due, among many that are open."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

import asyncpg
from rich.progress import track
from sqlalchemy import Engine, event

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.holds.rule import Allowance
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import DrainLease, open_ledger
from loadtest.servers import PostgresServer

_DRAIN = "sale"
_SKU = "bench"
_FILLED_AT_ONCE = 500
_HOLD_SECONDS = 600
# So far apart end the holds of two batches, as those of a drain at 2,000/s.
_BATCH_SECONDS = _FILLED_AT_ONCE / 2_000
_STATS_WITHIN_SECONDS = 10


@dataclass
class Spent:
    """The milliseconds of each look for what is due, of each query for ended holds, and in all."""

    look_ms: list[float] = field(default_factory=list)
    query_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Return medians and p99."""
        return {
            **_figures("due_look_ms", self.look_ms),
            **_figures("expiry_query_ms", self.query_ms),
            **_figures("expiry_batch_ms", self.batch_ms),
        }


def _figures(name: str, values: list[float]) -> dict[str, float]:
    p99 = quantiles(values, n=100, method="inclusive")[98]
    return {name: round(median(values), 2), f"{name}_p99": round(p99, 2)}


def measure_expiry(server: PostgresServer, holds: int, batches: int, most: int) -> dict[str, float]:
    """Open so many holds, and end some: so many batches of `most` holds each.

    `expiry_query_ms` are the queries of a batch for ended holds together, `expiry_batch_ms` the
    whole transaction that ends `most` holds. `due_look_ms` is what the drain asks four times a
    second. `expiry_table_scans` counts how often the table of orders was read as a whole.
    """
    url, dsn = server.create_database("expiry"), server.dsn("expiry")
    began = time.time()
    asyncio.run(_open_holds(url, holds, began))
    scans = asyncio.run(_table_scans(dsn, at_least=0))
    spent = asyncio.run(_end_holds(url, began, batches, most))
    return {
        "open_holds": holds,
        "holds_ended_at_once": most,
        **spent.figures(),
        "expiry_table_scans": asyncio.run(_table_scans(dsn, at_least=batches)) - scans,
    }


async def _open_holds(url: str, holds: int, began: float) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale(_SKU, holds, hold_seconds=_HOLD_SECONDS, waitlist=1_000))
        async with ledger.hold_drain(_DRAIN) as lease:
            sink = lease.open_sink()
            for first in track(range(0, holds, _FILLED_AT_ONCE), "opening holds"):
                now = began + first / _FILLED_AT_ONCE * _BATCH_SECONDS
                numbers = range(first, min(first + _FILLED_AT_ONCE, holds))
                await sink.sell([_order(number, now) for number in numbers], now)


def _order(number: int, now: float) -> Order:
    return Order(random_order_id(), _SKU, f"c-{number}", 1, now)


async def _end_holds(url: str, began: float, batches: int, most: int) -> Spent:
    spent = Spent()
    async with open_ledger(url) as ledger, ledger.hold_drain(_DRAIN) as lease:
        now = began
        await _look(lease, now, most, spent)  # the first one of a session also plans
        spent.look_ms.clear()
        for _ in range(batches):
            await _look(lease, now, most, spent)  # nothing is due yet, as most of the time
        sink = lease.open_sink()
        # From now on everything has ended, and the rate of the drain says when it is noticed.
        now = began + 2 * _HOLD_SECONDS + GRACE_SECONDS
        await sink.sell([], now, allowance=Allowance(most))
        for _ in track(range(batches), "ending holds"):
            with _query_seconds() as seconds:
                started = time.perf_counter()
                verdict = await sink.sell([], now, allowance=Allowance(most))
                spent.batch_ms.append(1000 * (time.perf_counter() - started))
            if len(verdict.moved) != most:
                raise RuntimeError(f"{len(verdict.moved)} holds ended instead of {most}")
            spent.query_ms.append(1000 * sum(seconds))
    return spent


async def _look(lease: DrainLease, now: float, most: int, spent: Spent) -> None:
    started = time.perf_counter()
    due = await lease.due(now, most)
    spent.look_ms.append(1000 * (time.perf_counter() - started))
    if due.changes:
        raise RuntimeError(f"{due.changes} holds are due too early")


@contextmanager
def _query_seconds() -> Iterator[list[float]]:
    """Collect the seconds of each query for ended holds while the context is entered."""
    seconds: list[float] = []
    started = 0.0

    def begin(*_: Any) -> None:
        nonlocal started
        started = time.perf_counter()

    def end(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("SELECT") and "expires_at <=" in statement:
            seconds.append(time.perf_counter() - started)

    event.listen(Engine, "before_cursor_execute", begin)
    event.listen(Engine, "after_cursor_execute", end)
    try:
        yield seconds
    finally:
        event.remove(Engine, "before_cursor_execute", begin)
        event.remove(Engine, "after_cursor_execute", end)


async def _table_scans(dsn: str, at_least: int) -> int:
    """Return how often the table of orders was read as a whole.

    A session tells what it did when it ends, a moment later: wait until the index of held orders
    has been read `at_least` so often.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(_STATS_WITHIN_SECONDS):
            while True:
                if await connection.fetchval(_INDEX_READS) >= at_least:
                    return int(await connection.fetchval(_SCANS))
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


_INDEX_READS = """
    SELECT coalesce(sum(idx_scan), 0)::int FROM pg_stat_user_indexes
    WHERE indexrelname = 'orders_held_by_end'
"""
_SCANS = """
    SELECT coalesce(sum(seq_scan), 0)::int FROM pg_stat_user_tables WHERE relname = 'orders'
"""
