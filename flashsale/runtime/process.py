"""How every process of ours runs: on uvloop, until a signal, its errors one clear line."""

import asyncio
import gc
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
from flashsale.ledger import LedgerError, LedgerUnavailable, SchemaOutdated
from flashsale.observability.errors import TracingUnavailable
from flashsale.observability.logs import configure_logs
from flashsale.runtime.background import BackgroundTaskEnded
from flashsale.runtime.settings import (
    Settings,
    SettingsError,
    ignored_service_links,
    load_settings,
    unknown_settings,
)

log = structlog.get_logger()

Main = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

# What to do about each, in the order in which they are looked for.
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (SettingsError, "{error}"),
    (TracingUnavailable, "{error}"),
    (BackgroundTaskEnded, "{error}"),
    (SchemaOutdated, "{error}: run `flashsale migrate`"),
    (TopologyMismatch, "the broker holds something else of that name: {error}; delete it there,"
     " or set FLASHSALE_BROKER_PREFIX"),
    (AccessRefused, "the broker at FLASHSALE_BROKER_URL refuses: {error}"),
    (BrokerUnavailable, "no broker at FLASHSALE_BROKER_URL: {error}"),
    (QueueFull, "{error}; try again when it has drained"),
    (BrokerError, "{error}"),
    (LedgerUnavailable, "no database at FLASHSALE_DATABASE_URL: {error}"),
    (LedgerError, "{error}"),
    (OSError, "{error}"),
)  # fmt: skip
_EXPECTED = tuple(kind for kind, _ in _ADVICE)


def run(main: Main) -> None:
    """Run until `main` is done; SIGTERM and SIGINT set the event that it is given.

    A second signal ends the process at once. An expected failure is one line and exit code 1.
    """
    with (
        expected_failures_in_one_line(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_until_signal(main))


@contextmanager
def expected_failures_in_one_line() -> Iterator[None]:
    """Turn an expected failure into one line of advice and exit code 1."""
    try:
        yield
    except Exception as error:
        cause = sole_error(error)
        if not isinstance(cause, _EXPECTED):
            raise
        fail(advice(cause))


def settings_or_fail() -> Settings:
    """The settings of the environment, the log set up by them; a wrong one ends the process."""
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
    """The one line that says what is wrong and what to do."""
    text = next(text for kind, text in _ADVICE if isinstance(error, kind))
    return text.format(error=error)


def fail(message: str) -> NoReturn:
    """Say one line and exit with code 1."""
    print(f"flashsale: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(1)


async def _until_signal(main: Main) -> None:
    # What was imported stays; collecting it again and again costs a spike its tail latency.
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
    await main(stop)


def _allow_many_connections() -> None:
    # The soft limit is often 1,024, for programs that know no better than select().
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
