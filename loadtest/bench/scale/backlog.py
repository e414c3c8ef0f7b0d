"""Vary the backlog: measure intake, drain and the broker's memory."""

import asyncio
from collections.abc import Sequence
from statistics import median

from rich.progress import track

from loadtest.bench.scale.drain import WARM_UP, drain
from loadtest.bench.scale.figures import Row
from loadtest.bench.scale.intake import accept
from loadtest.bench.scale.testbed import BenchTestbed, Shop
from loadtest.measure.usage import megabytes, usage

_MOST_DRAINED = 50_000
_ROUNDS_OF_FEW = 3
# Small batches, so that a thousand orders are ten batches, enough to measure their time.
_BATCH = "100"


def measure_backlog(testbed: BenchTestbed, counts: Sequence[int], seconds: int) -> list[Row]:
    """Measure with each of these numbers of orders in the queue at the start."""
    return [
        Row("backlog", count, _measure(testbed, count, seconds))
        for count in track(counts, "backlog")
    ]


def _measure(testbed: BenchTestbed, count: int, seconds: int) -> dict[str, float]:
    shop = testbed.shop()
    asyncio.run(shop.fill(count))
    memory = usage(testbed.node.processes()).rss_bytes
    with shop.gateway() as gateway:
        accepted = accept(testbed.node, testbed.folder, [gateway], seconds)
    shop.empty()
    drained = [_drained(testbed.shop(), count) for _ in range(_rounds(count))]
    return {
        "accepted": round(accepted.per_second),
        "p99_ms": round(accepted.p99_ms, 1),
        "drained": round(median(drained)),
        "broker_rss_mb": megabytes(memory),
    }


def _drained(shop: Shop, count: int) -> float:
    asyncio.run(shop.fill(WARM_UP + count))
    rate = drain(shop, min(count, _MOST_DRAINED), drain_batch=_BATCH)
    shop.empty()
    return rate


def _rounds(count: int) -> int:
    """Return the number of rounds: more of them for short drains."""
    return _ROUNDS_OF_FEW if count < _MOST_DRAINED else 1
