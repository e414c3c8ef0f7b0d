"""Many orders through one gateway and one consumer: does memory grow with them?"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loadtest.bench.scale.figures import Row, growth
from loadtest.bench.scale.orders import order
from loadtest.bench.scale.stand import UNPACED, Gateway, Stand
from loadtest.measure.usage import family, megabytes, usage
from loadtest.processes import Process, scrape
from loadtest.servers import free_port

REMEMBERED = 50_000
"""Orders that the gateway remembers here: full after a twentieth of a million, to stay so."""

# Accepting must not run ahead: orders are to be accepted and drained at the same time.
_MOST_WAITING = 20_000
_SAMPLE_SECONDS = 0.5
_DRAINED_WITHIN_SECONDS = 180


@dataclass(frozen=True)
class Sample:
    """Memory once so many orders were accepted, confirmed and drained."""

    drained: int
    gateway_mb: float
    consumer_mb: float


def measure_memory(on: Stand, orders: int, seconds: int) -> tuple[list[Row], dict[str, float]]:
    """Pass so many through; memory by tenths of them, and how it grew after the first fifth."""
    shop = on.shop()
    port = free_port()
    with (
        shop.gateway(status_orders=str(REMEMBERED)) as gateway,
        shop.consumer(**UNPACED, metrics_port=str(port)) as consumer,
    ):
        consumer.await_url(f"http://127.0.0.1:{port}/metrics")
        with _sampling(lambda: _sample(gateway, consumer, port)) as samples:
            accepted = 0
            while accepted < orders:
                accepted += order(on.folder, [gateway], seconds)[0].count
                _drained(samples, accepted - _MOST_WAITING)
            _drained(samples, accepted)
    rows = tenths(samples, orders)
    return rows, {
        "memory_orders": accepted,
        "gateway_rss_growth_mb": growth([row.values["gateway_rss_mb"] for row in rows]),
        "consumer_rss_growth_mb": growth([row.values["consumer_rss_mb"] for row in rows]),
    }


def tenths(samples: Sequence[Sample], orders: int) -> list[Row]:
    """Memory as each tenth of the orders was through."""
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
        megabytes(usage(family(consumer.pid)).rss_bytes),
    )


@contextmanager
def _sampling(look: Callable[[], Sample]) -> Iterator[list[Sample]]:
    """Look again and again until it is left."""
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
    """Wait until so many are drained."""
    deadline = time.monotonic() + _DRAINED_WITHIN_SECONDS
    while samples[-1].drained < orders:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not drained within {_DRAINED_WITHIN_SECONDS} s")
        time.sleep(_SAMPLE_SECONDS)
