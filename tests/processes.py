"""The product's processes for tests: as `loadtest.processes`, without its imports each time.

Every process is a fork of a server that has imported the product, as it takes most of a second of
CPU to import it. Everything else is as with `python -m MODULE`: a process, a process id, an
environment, an exit code.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from threading import Lock

from loadtest import watchdog
from loadtest.processes import Process, own_environment

__all__ = ["prepare", "process", "run"]

_IMPORTED = ("flashsale.cli.main", "gateway.app", "consumer.app", "services.app")
_POLL_SECONDS = 0.01


class ForkedProcess(Process):
    """A running fork and what it prints."""

    def __init__(self, forked: ForkServerProcess, output: Path) -> None:
        self._forked = forked
        self._output = output
        self._asking = Lock()  # the exit code can be read once

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._forked.pid is not None
        return self._forked.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._exit_code() is None

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end; the exit code. Raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + seconds
        while (code := self._exit_code()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._forked.name, seconds)
            time.sleep(_POLL_SECONDS)
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def _exit_code(self) -> int | None:
        with self._asking:
            return self._forked.exitcode


@contextmanager
def process(
    arguments: list[str], output: Path, environment: Mapping[str, str] | None = None
) -> Iterator[ForkedProcess]:
    """Run a Python module of ours, such as `["flashsale", "gateway"]`, and stop it at the end."""
    started = _start(
        arguments, output, output, own_environment() | dict(environment or {}), output.parent
    )
    try:
        yield started
    finally:
        started.stop()


def run(
    arguments: list[str],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a Python module of ours to its end. Raises `subprocess.TimeoutExpired`."""
    with tempfile.TemporaryDirectory() as printed:
        output, errors = Path(printed, "output"), Path(printed, "errors")
        started = _start(
            arguments,
            output,
            errors,
            own_environment() | dict(environment or {}),
            folder or Path.cwd(),
        )
        try:
            code = started.wait(timeout)
        finally:
            started.kill()
        return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())


def prepare() -> None:
    """Start the server of forks, whose socket is in the folder of temporary files for good."""
    watchdog.start()
    _server()
    ensure_running()


def _start(
    arguments: list[str], output: Path, errors: Path, environment: dict[str, str], folder: Path
) -> ForkedProcess:
    watchdog.start()
    output.touch()
    errors.touch()
    forked = _server().Process(
        target=_be,
        args=(arguments, str(output.absolute()), str(errors.absolute()), environment, str(folder)),
        name=" ".join(arguments),
        daemon=True,
    )
    forked.start()
    return ForkedProcess(forked, output)


@cache
def _server() -> ForkServerContext:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(list(_IMPORTED))
    return server


def _be(
    arguments: list[str], output: str, errors: str, environment: dict[str, str], folder: str
) -> None:
    """Be `python -m` with these arguments."""
    for descriptor, path in enumerate((os.devnull, output, errors)):
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        # `multiprocessing` would leave these out.
        atexit._run_exitfuncs()
