"""Serve `/metrics` and `/healthz` of a process on a port of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, start_http_server

_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_PROBE_SECONDS = 0.1
_STUCK_SECONDS = 5.0

_Start = Callable[[str, list[tuple[str, str]]], object]
_Wsgi = Callable[[dict[str, Any], _Start], Iterable[bytes]]


class LoopMonitor:
    """Measures the lag of the event loop ten times a second, and detects a stuck loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the histogram of the lag."""
        self._lag = Histogram(
            "flashsale_loop_lag_seconds",
            "Seconds by which the event loop resumed a sleeping task too late",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._turned_at = time.monotonic()

    @property
    def stuck(self) -> bool:
        """Whether the loop has not turned for five seconds. Safe to read from any thread."""
        return time.monotonic() - self._turned_at > _STUCK_SECONDS

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Measure while the context is entered."""
        measuring = asyncio.create_task(self._measure(), name="pulse")
        try:
            yield
        finally:
            measuring.cancel()
            await asyncio.wait((measuring,))

    async def _measure(self) -> None:
        while True:
            due = time.monotonic() + _PROBE_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)
            self._turned_at = time.monotonic()
            self._lag.observe(max(0.0, self._turned_at - due))


@asynccontextmanager
async def monitored(
    registry: CollectorRegistry, host: str, port: int, *, loop_monitor: LoopMonitor | None = None
) -> AsyncIterator[int]:
    """Serve `/metrics`, and `/healthz` with 503 while the event loop is stuck; yield the port.

    A thread serves both, so that they answer while the loop is stuck. The registry gets the lag of
    the loop unless the caller passes a `loop_monitor` with a registry of its own. Raises `OSError`
    if the port is taken.
    """
    loop_monitor = loop_monitor or LoopMonitor(registry)
    server, thread = start_http_server(port, host, registry)
    server.set_app(_with_healthz(server.get_app(), loop_monitor))
    try:
        async with loop_monitor.running():
            yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_healthz(metrics: Any, loop_monitor: LoopMonitor) -> _Wsgi:
    def app(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            answer: Iterable[bytes] = metrics(environ, start)
            return answer
        status, word = (
            ("503 Service Unavailable", b"stuck") if loop_monitor.stuck else ("200 OK", b"alive")
        )
        start(status, [("Content-Type", "application/json")])
        return [b'{"status":"%s"}' % word]

    return app
