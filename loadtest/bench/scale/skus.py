"""More skus in one sale: a batch changes the stock of many, and a listing tells of all."""

import asyncio
from collections.abc import Sequence

from rich.progress import track

from loadtest.bench.scale.drain import WARM_UP, drain
from loadtest.bench.scale.figures import Row
from loadtest.bench.scale.orders import accept
from loadtest.bench.scale.stand import Gateway, Stand
from loadtest.load.closed_loop import closed_loop
from loadtest.measure.usage import usage

_DRAINED = 50_000
_LISTING = """
wrk.path = "/sales"
done = function(summary, latency, requests)
    io.write(string.format("not 2xx: %d\\n", summary.errors.status))
end
"""


def measure_skus(on: Stand, counts: Sequence[int], seconds: int) -> list[Row]:
    """A sale of so many skus, ordered in turn."""
    return [Row("skus", count, _measure(on, count, seconds)) for count in track(counts, "skus")]


def _measure(on: Stand, count: int, seconds: int) -> dict[str, float]:
    shop = on.shop(count)
    with shop.gateway() as gateway:
        accepted = accept(on.node, on.folder, [gateway], seconds, count)
        listing = _listing_us(on, gateway)
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


def _listing_us(on: Stand, gateway: Gateway) -> float:
    """Processor time that a gateway spends on one `GET /sales`."""
    script = on.folder / "listing.lua"
    script.write_text(_LISTING)
    before = usage(gateway.processes()).cpu_seconds
    answers = closed_loop(gateway.port, script, seconds=1, connections=4)
    return 1e6 * (usage(gateway.processes()).cpu_seconds - before) / answers.count
