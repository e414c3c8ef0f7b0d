"""`/metrics` and `/healthz` of a process, on a port of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

import msgspec
from prometheus_client import CollectorRegistry, Histogram, start_http_server

_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_PROBE_SECONDS = 0.1
_STUCK_SECONDS = 5.0


class Tasks(Protocol):
    """The background tasks of a process; see `flashsale.runtime.background.Background`."""

    def start(
        self, name: str, work: Callable[[], Coroutine[Any, Any, None]], /
    ) -> asyncio.Task[None]:
        """Run the work under supervision."""

    def troubles(self) -> Mapping[str, str]:
        """Return why tasks are failing now, by name. May be called from any thread."""


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

    async def beat(self) -> None:
        """Keep marking."""
        while True:
            due = time.monotonic() + _PROBE_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)
            self._beat_at = time.monotonic()
            self._lag.observe(max(0.0, self._beat_at - due))


@asynccontextmanager
async def monitored(
    registry: CollectorRegistry,
    host: str,
    port: int,
    tasks: Tasks,
    *,
    pulse: Pulse | None = None,
) -> AsyncIterator[int]:
    """Serve `/metrics` and `/healthz`, and yield the port.

    `/healthz` is 503 while the event loop is stuck or one of the background `tasks` is failing.
    Both are served by a thread of their own, so that they answer when the loop does not. The
    registry gets the loop's lag, unless a pulse that shows it elsewhere is given. Raises `OSError`.
    """
    pulse = pulse or Pulse(registry)
    server, thread = start_http_server(port, host, registry)
    server.set_app(_with_health(server.get_app(), pulse, tasks))
    beat = tasks.start("pulse", pulse.beat)
    try:
        yield server.server_port
    finally:
        beat.cancel()
        await asyncio.wait((beat,))
        server.shutdown()
        server.server_close()
        thread.join()


def _with_health(metrics: Any, pulse: Pulse, tasks: Tasks) -> _Wsgi:
    def app(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            answer: Iterable[bytes] = metrics(environ, start)
            return answer
        health = _health(pulse.stuck, tasks)
        status = "200 OK" if health.status == "alive" else "503 Service Unavailable"
        start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [msgspec.json.encode(health)]

    return app


class _Health(msgspec.Struct, omit_defaults=True):
    status: Literal["alive", "stuck", "failing"]
    tasks: Mapping[str, str] = {}
    """Why background tasks are failing, by name."""


def _health(stuck: bool, tasks: Tasks) -> _Health:
    if stuck:
        return _Health("stuck")  # what asks the event loop would get no answer
    troubles = tasks.troubles()
    return _Health("failing", troubles) if troubles else _Health("alive")
