"""The product's own processes, started as anybody would, for demo, benchmarks and tests."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from flashsale.domain.errors import FlashsaleError
from loadtest import watchdog

_START_SECONDS = 30
_STOP_SECONDS = 30


class ProcessFailed(FlashsaleError):
    """A process ended, or did not get ready. The message holds the end of what it printed."""


class Process:
    """A running process and what it prints."""

    def __init__(self, popen: subprocess.Popen[bytes], output: Path) -> None:
        self._popen = popen
        self._output = output

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        """All it printed."""
        return self._output.read_text(errors="replace")

    def await_url(self, url: str) -> None:
        """Return once the URL answers 200. Raises `ProcessFailed`."""
        deadline = time.monotonic() + _START_SECONDS
        while get(url) is None:
            if not self.running or time.monotonic() > deadline:
                raise ProcessFailed(self.output[-2000:])
            time.sleep(0.05)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Wait for its end; the exit code."""
        return self._popen.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def stop(self) -> int:
        """End it in good order, by force if that takes too long; the exit code."""
        if self.running:
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL."""
        self._popen.kill()
        return self.wait()


@contextmanager
def process(
    arguments: list[str], output: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a Python module of ours, such as `["flashsale", "gateway"]`, and stop it at the end."""
    watchdog.start()
    with output.open("ab") as file:
        popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=own_environment() | dict(environment or {}),
            cwd=output.parent,  # mail and other files of a sale go there
        )
    running = Process(popen, output)
    try:
        yield running
    finally:
        running.stop()


def own_environment() -> dict[str, str]:
    """The environment without settings of ours, which are not meant for private processes."""
    return {k: v for k, v in os.environ.items() if not k.startswith("FLASHSALE_")}


def get(url: str, timeout: float = 2) -> str | None:
    """What the URL answers with 200; None for everything else."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 our own
            return str(answer.read().decode()) if answer.status == 200 else None
    except (OSError, urllib.error.URLError):
        return None


Samples = dict[tuple[str, str], float]


def scrape(port: int) -> Samples:
    """All samples at a `/metrics` port: (name, first label's value) -> value; {} if silent."""
    text = get(f"http://127.0.0.1:{port}/metrics") or ""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }
