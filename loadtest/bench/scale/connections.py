"""Vary the number of open connections, while new ones come that order once each."""

import asyncio
from collections.abc import Sequence

import uvloop
from rich.progress import track

from loadtest.bench.scale.figures import Row
from loadtest.bench.scale.testbed import BenchTestbed, Gateway
from loadtest.load.connections import Connections
from loadtest.load.file_limit import allow_many_connections
from loadtest.load.open_loop import Outcome, open_loop, orders
from loadtest.load.shapes import Load
from loadtest.measure.usage import usage

_NEW_PER_SECOND = 2_000
_KEPT_PER_SECOND = 1_000
_MOST_NEW = 4_000
_AT_ONCE = 200
_PATIENCE_SECONDS = 10.0


def measure_connections(testbed: BenchTestbed, counts: Sequence[int], seconds: int) -> list[Row]:
    """Measure with each of these numbers of connections, which order in turn and stay open.

    Raises `RuntimeError` if this process may not have so many.
    """
    if max(counts) + _MOST_NEW > allow_many_connections():
        raise RuntimeError(f"no {max(counts) + _MOST_NEW} connections are allowed: see ulimit -n")
    rows = []
    for count in track(counts, "connections"):
        shop = testbed.shop()
        with shop.gateway() as gateway:
            rows.append(Row("connections", count, uvloop.run(_measure(gateway, count, seconds))))
        shop.empty()
    return rows


async def _measure(gateway: Gateway, count: int, seconds: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{gateway.port}/orders"
    load = Load(_NEW_PER_SECOND, seconds, connections=_MOST_NEW, patience=_PATIENCE_SECONDS)
    closing = [
        request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        for request in orders(url, "sku-0", len(load.schedule()))
    ]
    before = usage(gateway.processes())
    async with _Crowd(gateway.port, count) as crowd:
        opened = usage(gateway.processes())
        kept = asyncio.create_task(crowd.order(url, seconds))
        new = await open_loop(url, load, closing)
        spent = usage(gateway.processes()).cpu_seconds - opened.cpu_seconds
        failed = await kept
    return {
        "new_p50_ms": new.latency_ms["p50"],
        "new_p99_ms": new.latency_ms["p99"],
        "new_failed": _failed(new),
        "kept_failed": failed,
        "cores": round(spent / new.seconds, 2),
        "kb_each": round((opened.rss_bytes - before.rss_bytes) / count / 1000, 1) if count else 0,
    }


def _failed(outcome: Outcome) -> int:
    return outcome.unanswered + sum(
        count for status, count in outcome.statuses.items() if status != 202
    )


class _Crowd:
    """Connections that stay open and order in turn."""

    def __init__(self, port: int, count: int) -> None:
        self._each = [Connections("127.0.0.1", port, 1, self._answered) for _ in range(count)]
        self._statuses: list[int] = []
        self._sent = 0
        self._done = asyncio.Event()

    async def __aenter__(self) -> "_Crowd":
        for first in range(0, len(self._each), _AT_ONCE):
            some = self._each[first : first + _AT_ONCE]
            await asyncio.gather(*(connection.open_one() for connection in some))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(connection.close() for connection in self._each))

    async def order(self, url: str, seconds: int) -> int:
        """Send an order each millisecond, and return how many were not accepted."""
        if not self._each:
            return 0
        requests = orders(url, "sku-0", _KEPT_PER_SECOND * seconds)
        self._sent = len(requests)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, request in enumerate(requests):
            if (due_in := start + number / _KEPT_PER_SECOND - loop.time()) > 0:
                await asyncio.sleep(due_in)
            self._each[number % len(self._each)].send(number, request)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._done.wait()
        return sum(status != 202 for status in self._statuses)

    def _answered(self, _: int, status: int) -> None:
        self._statuses.append(status)
        if len(self._statuses) == self._sent:
            self._done.set()
