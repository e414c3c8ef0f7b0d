"""A private server process that can be started, stopped, frozen and restarted."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import psutil

from loadtest import watchdog

_START_SECONDS = 60
_STOP_SECONDS = 30
_POLL_SECONDS = 0.02

_wrapper: ContextVar[tuple[str, ...]] = ContextVar("wrapper", default=())


class ServerDidNotStart(Exception):
    """The server ended or did not answer in time. The message is the end of its log."""


class Server(ABC):
    """A server process. It keeps its data and ports when it is stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "server.log"
        self._process: psutil.Popen | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises `ProcessLookupError` if the server does not run."""
        if self._process is None:
            raise ProcessLookupError("the server does not run")
        return int(self._process.pid)

    @property
    def folder(self) -> Path:
        """The folder of the data."""
        return self._folder

    @property
    def serves(self) -> bool:
        """Whether the server answers now."""
        return self._answers()

    def start(self) -> None:
        """Start the server; return once it answers. Raises `ServerDidNotStart`."""
        watchdog.start()
        with self._log.open("ab") as log:
            self._process = psutil.Popen(
                [*_wrapper.get(), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # a Ctrl-C in the test's terminal must not reach the server
                **self._options(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerDidNotStart(self._log.read_text(errors="replace")[-2000:])
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server in good order."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """Kill the server and its children (SIGKILL)."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it for good, without care for its data."""
        self.kill()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP)."""
        for process in self.processes():
            process.suspend()

    def resume(self) -> None:
        """Continue the frozen server (SIGCONT)."""
        for process in self.processes():
            process.resume()

    def processes(self) -> list[psutil.Process]:
        """Return its processes: the descendants first, then the started process."""
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [*self._process.children(recursive=True), self._process]
        return [self._process]

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        family = self.processes()
        # The server may be a child of a start script. SIGKILL must go to all processes, but only
        # the started one handles the signal for a stop in good order.
        # Parents first: a master that is left replaces the worker that was killed.
        for process in reversed(family) if number == signal.SIGKILL else [self._process]:
            with suppress(psutil.NoSuchProcess):
                if number != signal.SIGKILL:  # which ends frozen ones before they do anything else
                    process.send_signal(signal.SIGCONT)
                process.send_signal(number)
        for process in _running(family, _STOP_SECONDS):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _running(family, _STOP_SECONDS)
        self._process.wait()
        self._process = None

    _stop_signal = signal.SIGTERM

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    def _options(self) -> dict[str, Any]:
        return {}

    @abstractmethod
    def _answers(self) -> bool: ...


def _running(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until these processes have ended; those that have not after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := [each for each in processes if not _ended(each)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(_POLL_SECONDS)
    return left


def _ended(process: psutil.Process) -> bool:
    # One that has lost its parent may stay a zombie for a second, which does no harm.
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


@contextmanager
def started_by(*wrapper: str) -> Iterator[None]:
    """Have this command, such as a tracer, start each server while the context is entered.

    The command gets the server's command as its last arguments and must exec it.
    """
    token = _wrapper.set(wrapper)
    try:
        yield
    finally:
        _wrapper.reset(token)


@contextmanager
def server_folder(name: str) -> Iterator[Path]:
    """Make a temporary folder for a server of that name, and delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"flashsale-{name}-"))
    watchdog.discard(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def await_port(port: int) -> None:
    """Return once something listens on the port. Raises `ServerDidNotStart`."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise ServerDidNotStart(f"nothing listens on port {port}")
