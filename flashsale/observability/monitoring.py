"""Serve `/metrics` and `/healthz` of a process on a port of their own."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

import msgspec
from prometheus_client import CollectorRegistry, Histogram, make_wsgi_app

from flashsale.observability.monitoring_server import (
    Answering,
    MonitoringAnswer,
    MonitoringRequest,
    MonitoringServer,
)

_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_PROBE_SECONDS = 0.1
_STUCK_SECONDS = 5.0


class Tasks(Protocol):
    """The background tasks of a process; see `flashsale.runtime.background.Background`."""

    def start(
        self, name: str, work: Callable[[], Coroutine[Any, Any, None]], /
    ) -> asyncio.Task[None]:
        """Run work under supervision; cancelling the returned task ends it."""

    def troubles(self) -> Mapping[str, str]:
        """Return the errors of failing tasks by name. Safe to call from any thread."""


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

    async def run(self) -> None:
        """Measure the lag for ever."""
        while True:
            due = time.monotonic() + _PROBE_SECONDS
            await asyncio.sleep(_PROBE_SECONDS)
            self._turned_at = time.monotonic()
            self._lag.observe(max(0.0, self._turned_at - due))


@asynccontextmanager
async def monitored(
    registry: CollectorRegistry,
    host: str,
    port: int,
    tasks: Tasks,
    *,
    loop_monitor: LoopMonitor | None = None,
) -> AsyncIterator[int]:
    """Serve `/metrics` and `/healthz`, and yield the port.

    `/healthz` answers 503 while the event loop is stuck or one of the background `tasks` is
    failing. A thread serves both, so that they answer while the loop is stuck. The registry gets
    the lag of the loop unless the caller passes a `loop_monitor` with a registry of its own. Raises
    `OSError` if the port is taken.
    """
    loop_monitor = loop_monitor or LoopMonitor(registry)
    server = MonitoringServer(
        host, port, {"/metrics": _metrics(registry), "/healthz": _healthz(loop_monitor, tasks)}
    )
    thread = threading.Thread(target=server.serve_forever, name="monitoring", daemon=True)
    thread.start()
    measuring = tasks.start("pulse", loop_monitor.run)
    try:
        yield server.port
    finally:
        measuring.cancel()
        await asyncio.wait((measuring,))
        server.shutdown()
        server.server_close()
        thread.join()


def _metrics(registry: CollectorRegistry) -> Answering:
    """Return what answers with the page of the Prometheus client, in the form that is asked for."""
    app: Any = make_wsgi_app(registry)

    def answer(request: MonitoringRequest) -> MonitoringAnswer:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "HTTP_ACCEPT": request.headers.get("accept"),
            "HTTP_ACCEPT_ENCODING": request.headers.get("accept-encoding"),
        }
        headers: dict[str, str] = {}
        body = b"".join(app(environ, lambda _, given: headers.update(given)))
        return MonitoringAnswer(200, body, headers.pop("Content-Type"), headers)

    return answer


def _healthz(loop_monitor: LoopMonitor, tasks: Tasks) -> Answering:
    def answer(_: MonitoringRequest) -> MonitoringAnswer:
        health = _health(loop_monitor.stuck, tasks)
        return MonitoringAnswer(
            200 if health.status == "alive" else 503, msgspec.json.encode(health)
        )

    return answer


class _Health(msgspec.Struct, omit_defaults=True):
    status: Literal["alive", "stuck", "failing"]
    tasks: Mapping[str, str] = {}
    """The errors of failing background tasks by name."""


def _health(stuck: bool, tasks: Tasks) -> _Health:
    if stuck:
        return _Health("stuck")  # a stuck loop can't report on its tasks
    troubles = tasks.troubles()
    return _Health("failing", troubles) if troubles else _Health("alive")
