"""Run a process on uvloop until a signal, and print an expected error as one line."""

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog
import uvloop

from flashsale.broker import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    QueueFull,
    TopologyMismatch,
)
from flashsale.domain.errors import sole_error
from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.ledger import LedgerError, LedgerUnavailable, SchemaOutdated, StatementRefused
from flashsale.observability.errors import TracingUnavailable
from flashsale.observability.logs import configure_logs
from flashsale.runtime.background import BackgroundTaskEnded
from flashsale.runtime.settings import Settings, SettingsError, load_settings
from flashsale.runtime.settings_table import ignored_service_links, unknown_settings

log = structlog.get_logger()

Main = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

# The message of each error. The first class that matches counts.
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (SettingsError, "{error}"),
    (TracingUnavailable, "{error}"),
    (BackgroundTaskEnded, "{error}"),
    (ChangeRefused, "{error}"),
    (SchemaOutdated, "{error}: run `flashsale migrate`"),
    (TopologyMismatch, "the broker has something else of that name: {error}; delete it there,"
     " or set FLASHSALE_BROKER_PREFIX"),
    (AccessRefused, "the broker at FLASHSALE_BROKER_URL refuses: {error}"),
    (BrokerUnavailable, "no broker at FLASHSALE_BROKER_URL: {error}"),
    (QueueFull, "{error}; try again when it has drained"),
    (BrokerError, "{error}"),
    (StatementRefused, "the database at FLASHSALE_DATABASE_URL refuses: {error}"),
    (LedgerUnavailable, "no database at FLASHSALE_DATABASE_URL: {error}"),
    (LedgerError, "{error}"),
    (OSError, "{error}"),
)  # fmt: skip
_LAST_TASKS_SECONDS = 10.0
_EXPECTED = tuple(kind for kind, _ in _ADVICE)


def run(main: Main) -> None:
    """Run `main` until it returns. SIGTERM and SIGINT set the event that is passed to it.

    A second signal ends the process at once. An expected error prints one line; exit code 1.
    """
    with (
        expected_failures_in_one_line(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_until_signal(main))


async def _end_all_tasks() -> None:
    """Cancel the tasks that still run. If one does not end, end the process without it.

    Only foreign code, such as the handler of a service, leaves such a task.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, stubborn = await asyncio.wait(tasks, timeout=_LAST_TASKS_SECONDS)
    if stubborn:
        names = sorted(task.get_name() for task in stubborn)
        log.error("the process ends without tasks that ignore their cancellation", tasks=names)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


@contextmanager
def expected_failures_in_one_line() -> Iterator[None]:
    """Print an expected error as one line of advice, and exit with code 1."""
    try:
        yield
    except Exception as error:
        cause = sole_error(error)
        if not isinstance(cause, _EXPECTED):
            raise
        fail(advice(cause))


def settings_or_fail() -> Settings:
    """Load the settings and set up the log by them. A wrong setting ends the process."""
    with expected_failures_in_one_line():
        loaded = load_settings()
    configure_logs(loaded.log_format)
    for name in unknown_settings():
        log.warning("unknown setting ignored", name=name)
    if links := ignored_service_links():
        # Kubernetes stops this by `enableServiceLinks: false` in the pod.
        log.warning(
            "variables ignored that the orchestrator set for a service, as they are no settings",
            names=" ".join(links),
        )
    return loaded


def advice(error: Exception) -> str:
    """Return one line with the error and its remedy."""
    text = next(text for kind, text in _ADVICE if isinstance(error, kind))
    return text.format(error=error)


def fail(message: str) -> NoReturn:
    """Print one line to stderr and exit with code 1."""
    print(f"flashsale: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(1)


async def _until_signal(main: Main) -> None:
    # Imported modules stay, and collecting them again and again would add to the tail latency.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    _allow_many_connections()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        await main(stop)
    finally:
        await _end_all_tasks()


def _allow_many_connections() -> None:
    # The soft limit is often 1,024, for programs that use select().
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
