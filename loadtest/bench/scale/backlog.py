"""More orders that wait: what accepting and draining cost then, and what the broker needs."""

import asyncio
from collections.abc import Sequence
from statistics import median

from rich.progress import track

from loadtest.bench.scale.drain import WARM_UP, drain
from loadtest.bench.scale.figures import Row
from loadtest.bench.scale.orders import accept
from loadtest.bench.scale.stand import Shop, Stand
from loadtest.measure.usage import megabytes, usage

_MOST_DRAINED = 50_000
_ROUNDS_OF_FEW = 3
# A thousand orders are ten batches then, enough to take their time.
_BATCH = "100"


def measure_backlog(on: Stand, counts: Sequence[int], seconds: int) -> list[Row]:
    """So many orders in the queue before anything begins."""
    return [
        Row("backlog", count, _measure(on, count, seconds)) for count in track(counts, "backlog")
    ]


def _measure(on: Stand, count: int, seconds: int) -> dict[str, float]:
    shop = on.shop()
    asyncio.run(shop.fill(count))
    memory = usage(on.node.processes()).rss_bytes
    with shop.gateway() as gateway:
        accepted = accept(on.node, on.folder, [gateway], seconds)
    shop.empty()
    drained = [_drained(on.shop(), count) for _ in range(_rounds(count))]
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
    """A drain that is over in a moment is measured again."""
    return _ROUNDS_OF_FEW if count < _MOST_DRAINED else 1
