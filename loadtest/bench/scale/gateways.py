"""More processes: workers that share a port, and gateways that share a broker."""

from collections.abc import Sequence
from contextlib import ExitStack

from rich.progress import track

from loadtest.bench.scale.figures import Row
from loadtest.bench.scale.orders import accept, order, summary
from loadtest.bench.scale.stand import Stand

_WARM_SECONDS = 1


def measure_workers(on: Stand, counts: Sequence[int], rounds: int, seconds: int) -> list[Row]:
    """One gateway of so many processes."""
    return [
        Row("workers", count, _measure(on, 1, count, rounds, seconds))
        for count in track(counts, "workers")
    ]


def measure_gateways(on: Stand, counts: Sequence[int], rounds: int, seconds: int) -> list[Row]:
    """So many gateways of one process each. They tell each other what they take."""
    return [
        Row("gateways", count, _measure(on, count, 1, rounds, seconds))
        for count in track(counts, "gateways")
    ]


def _measure(on: Stand, gateways: int, workers: int, rounds: int, seconds: int) -> dict[str, float]:
    shop = on.shop()
    with ExitStack() as stack:
        running = [
            stack.enter_context(shop.gateway(gateway_workers=str(workers))) for _ in range(gateways)
        ]
        order(on.folder, running, _WARM_SECONDS)
        found = [accept(on.node, on.folder, running, seconds) for _ in range(rounds)]
        figures = summary(found, running)
    shop.empty()
    return figures
