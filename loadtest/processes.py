"""Start the product's processes, for demo, benchmarks and tests."""

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
    """A process ended or did not get ready. The message is the end of its output."""


class Process:
    """A running process and its output."""

    def __init__(self, popen: subprocess.Popen[bytes], output: Path) -> None:
        self._popen = popen
        self._output = output

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        """The output so far."""
        return self._output.read_text(errors="replace")

    def await_url(self, url: str) -> None:
        """Return once the URL answers 200. Raises `ProcessFailed`."""
        deadline = time.monotonic() + _START_SECONDS
        while get(url) is None:
            if not self.running or time.monotonic() > deadline:
                raise ProcessFailed(self.output[-2000:])
            time.sleep(0.05)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Wait up to `seconds` for the end; return the exit code."""
        return self._popen.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._popen.send_signal(number)

    def stop(self) -> int:
        """Send SIGTERM, and SIGKILL if it does not end in time; return the exit code."""
        if self.running:
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """Send SIGKILL; return the exit code."""
        self._popen.kill()
        return self.wait()


@contextmanager
def process(
    arguments: list[str], output: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a Python module, such as `["flashsale", "gateway"]`, while the context is entered."""
    watchdog.start()
    with output.open("ab") as file:
        popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=own_environment() | dict(environment or {}),
            cwd=output.parent,  # the folder for mail and other files of a sale
        )
    running = Process(popen, output)
    try:
        yield running
    finally:
        running.stop()


def own_environment() -> dict[str, str]:
    """Return the environment without FLASHSALE_... variables: private processes need their own."""
    return {k: v for k, v in os.environ.items() if not k.startswith("FLASHSALE_")}


def get(url: str, timeout: float = 2) -> str | None:
    """Return the body of a 200 from the URL, else None. `timeout` is in seconds."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 our own
            return str(answer.read().decode()) if answer.status == 200 else None
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except OSError:
        return None


Samples = dict[tuple[str, str], float]


def scrape(port: int) -> Samples:
    """Return the samples of a metrics port: (name, first label's value) -> value.

    Return {} if the port does not answer.
    """
    text = get(f"http://127.0.0.1:{port}/metrics") or ""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }
