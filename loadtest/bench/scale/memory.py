"""Measure whether memory grows while many orders pass one gateway and one consumer."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loadtest.bench.scale.figures import Row, growth
from loadtest.bench.scale.intake import order
from loadtest.bench.scale.testbed import UNPACED, BenchTestbed, Gateway
from loadtest.measure.usage import megabytes, process_tree, usage
from loadtest.processes import Process, scrape
from loadtest.servers import free_port

REMEMBERED = 50_000
"""The capacity of the gateway's memory of orders: full after a twentieth of a million orders."""

# A limit for the backlog, so that orders are accepted and drained at the same time.
_MOST_WAITING = 20_000
_SAMPLE_SECONDS = 0.5
_DRAINED_WITHIN_SECONDS = 180


@dataclass(frozen=True)
class Sample:
    """The memory after so many orders were accepted, confirmed and drained."""

    drained: int
    gateway_mb: float
    consumer_mb: float


def measure_memory(
    testbed: BenchTestbed, orders: int, seconds: int
) -> tuple[list[Row], dict[str, float]]:
    """Return the memory after each tenth of the orders, and its growth after the first fifth."""
    shop = testbed.shop()
    port = free_port()
    with (
        shop.gateway(status_orders=str(REMEMBERED)) as gateway,
        shop.consumer(**UNPACED, metrics_port=str(port)) as consumer,
    ):
        consumer.await_url(f"http://127.0.0.1:{port}/metrics")
        with _sampling(lambda: _sample(gateway, consumer, port)) as samples:
            accepted = 0
            while accepted < orders:
                accepted += order(testbed.folder, [gateway], seconds)[0].count
                _drained(samples, accepted - _MOST_WAITING)
            _drained(samples, accepted)
    rows = tenths(samples, orders)
    return rows, {
        "memory_orders": accepted,
        "gateway_rss_growth_mb": growth([row.values["gateway_rss_mb"] for row in rows]),
        "consumer_rss_growth_mb": growth([row.values["consumer_rss_mb"] for row in rows]),
    }


def tenths(samples: Sequence[Sample], orders: int) -> list[Row]:
    """Return the memory after each tenth of the orders."""
    rows = []
    for tenth in range(1, 11):
        sample = next(s for s in samples if 10 * s.drained >= tenth * orders)
        memory = {"gateway_rss_mb": sample.gateway_mb, "consumer_rss_mb": sample.consumer_mb}
        rows.append(Row("tenth", tenth, memory))
    return rows


def _sample(gateway: Gateway, consumer: Process, port: int) -> Sample:
    return Sample(
        round(scrape(port).get(("flashsale_released_orders_total", ""), 0)),
        megabytes(usage(gateway.processes()).rss_bytes),
        megabytes(usage(process_tree(consumer.pid)).rss_bytes),
    )


@contextmanager
def _sampling(look: Callable[[], Sample]) -> Iterator[list[Sample]]:
    """Sample in a thread while the context is entered."""
    samples = [look()]
    left = threading.Event()

    def run() -> None:
        while not left.wait(_SAMPLE_SECONDS):
            samples.append(look())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield samples
    finally:
        left.set()
        thread.join()


def _drained(samples: Sequence[Sample], orders: int) -> None:
    """Wait until so many orders are drained."""
    deadline = time.monotonic() + _DRAINED_WITHIN_SECONDS
    while samples[-1].drained < orders:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not drained within {_DRAINED_WITHIN_SECONDS} s")
        time.sleep(_SAMPLE_SECONDS)
