"""Supervise background tasks, so that the end of a long-running task is always noticed."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from flashsale.domain.backoff import Backoff
from flashsale.domain.errors import FlashsaleError, sole_error

log = structlog.get_logger()

Work = Callable[[], Coroutine[Any, Any, None]]
"""Starts the work of a task from its beginning. The work should run for ever."""

_FIRST_RESTART_SECONDS = 1.0
_LAST_RESTART_SECONDS = 30.0
# A restarted task counts as failing until it has run for this long.
_STEADY_SECONDS = 2.0


class BackgroundTaskEnded(FlashsaleError):
    """An essential task ended. Its error is the cause."""


class Background(Collector):
    """The background tasks of one process. The exit of the context cancels them.

    If a task ends by an error, a cancellation or a return, its traceback is logged, and `troubles`
    names it for `/readyz` and `/healthz`. The task is then restarted with back-off. The end of an
    `essential` task ends the process.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register the metrics of failures, if a registry is given."""
        self._supervisors: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        self._owner: asyncio.Task[Any] | None = None
        self._fatal: BackgroundTaskEnded | None = None
        if registry is not None:
            registry.register(self)

    def start(
        self,
        name: str,
        work: Work,
        *,
        until: asyncio.Event | None = None,
        essential: bool = False,
    ) -> asyncio.Task[None]:
        """Run `work` under supervision, and return its supervisor. Cancel that to end the work.

        `name` is unique within a process; raises `ValueError` otherwise. Work that returns after
        `until` is set is done. The end of `essential` work raises `BackgroundTaskEnded` at the exit
        of this context.
        """
        if name in self._supervisors:
            raise ValueError(f"there is a background task {name!r} already")
        self._failures[name] = 0
        supervisor = asyncio.create_task(
            self._supervise(name, work, until or asyncio.Event(), essential),
            name=f"supervisor of {name}",
        )
        self._supervisors[name] = supervisor
        supervisor.add_done_callback(lambda _: self._forget(name))
        return supervisor

    def troubles(self) -> Mapping[str, str]:
        """Return the errors of the tasks that fail now, by name. May be called from any thread."""
        return dict(self._troubles)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        failures = CounterMetricFamily(
            "flashsale_background_task_failures",
            "Background tasks that ended by themselves",
            labels=["task"],
        )
        failing = GaugeMetricFamily(
            "flashsale_background_task_failing",
            "1 while a background task is down, or was started again just now",
            labels=["task"],
        )
        for name, count in tuple(self._failures.items()):
            failures.add_metric([name], count)
            failing.add_metric([name], float(name in self._troubles))
        yield failures
        yield failing

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await cancelled(*self._supervisors.values())
        if self._fatal is not None:
            if kind is asyncio.CancelledError and self._owner is not None:
                self._owner.uncancel()  # `_end_process` had cancelled it
            raise self._fatal from self._fatal.__cause__

    def _forget(self, name: str) -> None:
        self._supervisors.pop(name, None)
        self._troubles.pop(name, None)

    async def _supervise(
        self, name: str, work: Work, until: asyncio.Event, essential: bool
    ) -> None:
        backoff = Backoff(_FIRST_RESTART_SECONDS, _LAST_RESTART_SECONDS)
        loop = asyncio.get_running_loop()
        while True:
            task = asyncio.create_task(_begin(work), name=name)
            steady = loop.call_later(_STEADY_SECONDS, self._troubles.pop, name, None)
            started = loop.time()
            try:
                await asyncio.wait((task,))
            finally:
                steady.cancel()
                if not task.done():
                    task.cancel()
                    await asyncio.wait((task,))
            if until.is_set() and not task.cancelled() and task.exception() is None:
                return
            error = sole_error(_end_of(task))
            self._failures[name] += 1
            self._troubles[name] = f"ended: {str(error) or type(error).__name__}"
            if essential:
                log.error("background task ended, so does the process", task=name, exc_info=error)
                self._end_process(name, error)
                return
            if loop.time() - started > _LAST_RESTART_SECONDS:
                backoff.reset()
            pause = backoff.next()
            log.error(
                "background task ended and is started again",
                task=name,
                after_seconds=round(pause, 1),
                exc_info=error,
            )
            try:
                async with asyncio.timeout(pause):
                    await until.wait()
            except TimeoutError:
                continue
            return

    def _end_process(self, name: str, error: BaseException) -> None:
        self._fatal = BackgroundTaskEnded(f"the background task {name!r} ended")
        self._fatal.__cause__ = error
        if self._owner is not None:
            self._owner.cancel()


async def cancelled(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _begin(work: Work) -> None:
    # Call it inside the task, so that an error of the call is an error of the task.
    await work()


def _end_of(task: asyncio.Task[None]) -> BaseException:
    if task.cancelled():
        return asyncio.CancelledError("cancelled")
    return task.exception() or RuntimeError("returned")
