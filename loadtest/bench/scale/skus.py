"""Vary the number of skus: batches change more rows, and listings get longer."""

import asyncio
from collections.abc import Sequence

from rich.progress import track

from loadtest.bench.scale.drain import WARM_UP, drain
from loadtest.bench.scale.figures import Row
from loadtest.bench.scale.intake import accept
from loadtest.bench.scale.testbed import BenchTestbed, Gateway
from loadtest.load.closed_loop import closed_loop
from loadtest.measure.usage import usage

_DRAINED = 50_000
_LISTING = """
wrk.path = "/sales"
done = function(summary, latency, requests)
    io.write(string.format("not 2xx: %d\\n", summary.errors.status))
end
"""


def measure_skus(testbed: BenchTestbed, counts: Sequence[int], seconds: int) -> list[Row]:
    """Measure with each of these numbers of skus, which orders use in turn."""
    return [
        Row("skus", count, _measure(testbed, count, seconds)) for count in track(counts, "skus")
    ]


def _measure(testbed: BenchTestbed, count: int, seconds: int) -> dict[str, float]:
    shop = testbed.shop(count)
    with shop.gateway() as gateway:
        accepted = accept(testbed.node, testbed.folder, [gateway], seconds, count)
        listing = _listing_us(testbed, gateway)
    shop.empty()
    asyncio.run(shop.fill(WARM_UP + _DRAINED))
    drained = drain(shop, _DRAINED)
    shop.empty()
    return {
        "accepted": round(accepted.per_second),
        "cpu_us": round(accepted.cpu_us, 1),
        "drained": round(drained),
        "listing_cpu_us": round(listing),
    }


def _listing_us(testbed: BenchTestbed, gateway: Gateway) -> float:
    """Return a gateway's processor time for one `GET /sales`, in microseconds."""
    script = testbed.folder / "listing.lua"
    script.write_text(_LISTING)
    before = usage(gateway.processes()).cpu_seconds
    answers = closed_loop(gateway.port, script, seconds=1, connections=4)
    return 1e6 * (usage(gateway.processes()).cpu_seconds - before) / answers.count
