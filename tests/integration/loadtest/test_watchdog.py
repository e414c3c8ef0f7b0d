"""What is killed or interrupted leaves nothing running behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from loadtest.processes import own_environment
from loadtest.servers import Installation, ServerNotFound
from tests.conftest import unique

ROOT = Path(__file__).parents[3]
_VARIABLE = "TEST_WATCHDOG_FAMILY"
_START_SECONDS = 180.0
_END_SECONDS = 60.0

_SCRIPT = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from loadtest.processes import process
from loadtest.servers import postgres, rabbitmq

folder = Path(sys.argv[1])
with ExitStack() as exits:
    servers = [exits.enter_context(rabbitmq()), exits.enter_context(postgres(fsync="off"))]
    exits.enter_context(process(["flashsale", "gateway"], folder / "gateway.log"))
    folders = "\\n".join(str(server.folder) for server in servers)
    (folder / "written").write_text(folders)
    (folder / "written").rename(folder / "ready-1")
    time.sleep(600)
"""

_TESTS = """
import time
from pathlib import Path
import pytest
from loadtest.servers import postgres

@pytest.mark.parametrize("number", [1, 2])
def test_waiting(number):
    with postgres(fsync="off") as server:
        written = Path(__file__).with_name(f"written-{number}")
        written.write_text(str(server.folder))
        written.rename(written.with_name(f"ready-{number}"))
        time.sleep(600)
"""


class Family:
    """A process, and what descends from it even where it has lost its parents."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = unique("family")
        self._first: subprocess.Popen[bytes] | None = None
        self._seen: set[psutil.Process] = set()

    def start(self, *command: str) -> None:
        """Run a Python command as the first of the family, the foreground job of a terminal."""
        # A shell has its background jobs ignore Ctrl-C, and these tests may run in one.
        ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with (self._folder / "log").open("wb") as log:
                self._first = subprocess.Popen(
                    [sys.executable, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=own_environment() | {"PYTHONPATH": str(ROOT), _VARIABLE: self._name},
                    cwd=self._folder,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, ignored)

    def ready(self, count: int) -> list[Path]:
        """Wait until so many say that they are ready; the folders of their servers."""
        assert self._first is not None
        deadline = time.monotonic() + _START_SECONDS
        while len(found := list(self._folder.glob("ready-*"))) < count:
            assert self._first.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        self._seen = self._members()
        return [Path(line) for file in found for line in file.read_text().splitlines()]

    def kill(self) -> None:
        """Kill the first of the family."""
        assert self._first is not None
        self._first.kill()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the whole foreground job, as a terminal does at Ctrl-C."""
        assert self._first is not None
        os.killpg(self._first.pid, number)

    @property
    def log(self) -> str:
        """What it printed."""
        return (self._folder / "log").read_text()

    def names(self) -> list[str]:
        """The programs that run."""
        found = []
        for process in self._members():
            with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
                found.append(process.name())
        return found

    def ended(self) -> None:
        """Wait until nobody is left. Raises `AssertionError` that names who is."""
        assert self._first is not None
        self._first.wait(_END_SECONDS)
        deadline = time.monotonic() + _END_SECONDS
        while left := self.names():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.05)

    def close(self) -> None:
        """Kill who is left."""
        for process in self._members():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._first is not None:
            self._first.wait()

    def _members(self) -> set[psutil.Process]:
        # Some are given an environment of their own, and are known by their parents only.
        found = set(self._seen)
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get(_VARIABLE) == self._name:
                    found |= {process, *process.children(recursive=True)}
        return {one for one in found if _runs(one)}


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    for program, package in (("rabbitmq-server", "rabbitmq-server"), ("initdb", "postgresql")):
        try:
            Installation.chosen().command(program, package)
        except ServerNotFound as error:
            pytest.skip(str(error))
    found = Family(tmp_path)
    yield found
    found.close()


def test_kill_9_of_who_started_servers_ends_them_and_takes_their_folders(
    family: Family, tmp_path: Path
) -> None:
    family.start("-c", _SCRIPT, str(tmp_path))
    folders = family.ready(1)
    names = set(family.names())
    assert {"beam.smp", "epmd", "postgres"} <= names, names
    assert all(folder.exists() for folder in folders)
    family.kill()
    family.ended()
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_ended_pytest_with_two_workers_leaves_no_server(
    family: Family, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "test_waiting.py").write_text(_TESTS)
    options = "-p", "tests.conftest", "-p", "no:cacheprovider", "-n", "2", "-c", os.devnull
    family.start("-m", "pytest", *options, "--rootdir", str(tmp_path), "test_waiting.py")
    folders = family.ready(2)
    family.signal_all(number)
    family.ended()
    assert not any(folder.exists() for folder in folders)
