"""`/metrics` and `/healthz` of a process, on a port of their own."""

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


class Pulse:
    """Whether the event loop turns: it leaves a mark ten times a second."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Add how late each mark is to the registry."""
        self._lag = Histogram(
            "flashsale_loop_lag_seconds",
            "How much later than it should the event loop came back to a task that slept",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._beat_at = time.monotonic()

    @property
    def stuck(self) -> bool:
        """Whether the loop has not turned for five seconds. May be asked from any thread."""
        return time.monotonic() - self._beat_at > _STUCK_SECONDS

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Keep marking."""
        beat = asyncio.create_task(self._beat(), name="pulse")
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.wait((beat,))

    async def _beat(self) -> None:
        while True:
            due = time.monotonic() + _PROBE_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)
            self._beat_at = time.monotonic()
            self._lag.observe(max(0.0, self._beat_at - due))


@asynccontextmanager
async def monitored(
    registry: CollectorRegistry, host: str, port: int, *, pulse: Pulse | None = None
) -> AsyncIterator[int]:
    """Serve `/metrics`, and `/healthz` that is 503 while the event loop is stuck; the port.

    In a thread of its own, so that both answer when the loop does not. The registry gets the
    loop's lag, unless a pulse that tells of it elsewhere is given. Raises `OSError`.
    """
    pulse = pulse or Pulse(registry)
    server, thread = start_http_server(port, host, registry)
    server.set_app(_with_health(server.get_app(), pulse))
    try:
        async with pulse.beating():
            yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_health(metrics: Any, pulse: Pulse) -> _Wsgi:
    def app(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            answer: Iterable[bytes] = metrics(environ, start)
            return answer
        status, word = (
            ("503 Service Unavailable", b"stuck") if pulse.stuck else ("200 OK", b"alive")
        )
        start(status, [("Content-Type", "application/json")])
        return [b'{"status":"%s"}' % word]

    return app
