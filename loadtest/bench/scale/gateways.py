"""Vary the number of workers that share a port, and of gateways that share a broker."""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from rich.progress import track

from loadtest.bench.scale.figures import Row
from loadtest.bench.scale.intake import accept, order, summary
from loadtest.bench.scale.testbed import BenchTestbed
from loadtest.load.closed_loop import CONNECTIONS

_WARM_SECONDS = 1


def measure_workers(
    testbed: BenchTestbed, counts: Sequence[int], rounds: int, seconds: int
) -> list[Row]:
    """Measure one gateway with each of these numbers of worker processes."""
    return [
        Row("workers", count, _measure(testbed, 1, count, rounds, seconds))
        for count in track(counts, "workers")
    ]


def measure_gateways(
    testbed: BenchTestbed, counts: Sequence[int], rounds: int, seconds: int
) -> list[Row]:
    """Measure each of these numbers of single-process gateways, which announce their orders."""
    return [
        Row("gateways", count, _measure(testbed, count, 1, rounds, seconds))
        for count in track(counts, "gateways")
    ]


def _measure(
    testbed: BenchTestbed, count: int, workers: int, rounds: int, seconds: int
) -> dict[str, float]:
    shop = testbed.shop()
    with ExitStack() as stack:
        running = [
            stack.enter_context(shop.gateway(gateway_workers=str(workers))) for _ in range(count)
        ]
        order(testbed.folder, running, _WARM_SECONDS)
        found = [accept(testbed.node, testbed.folder, running, seconds) for _ in range(rounds)]
        figures = summary(found, running)
        # Of 64 connections in all, each gateway has few, so few orders share a wake-up.
        busy = [
            accept(testbed.node, testbed.folder, running, seconds, connections=CONNECTIONS * count)
            for _ in range(rounds if count > 1 else 0)
        ]
        cpu_us = median(one.cpu_us for one in busy or found)
        figures["cpu_us_of_64_each"] = round(cpu_us, 1)
    shop.empty()
    return figures
