"""Servers of a root of their own: what is started is the server, and nothing of it stays."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil
import pytest

from loadtest.servers import Installation, PostgresServer, RabbitNode, postgres, rabbitmq


@pytest.fixture
def root() -> Path:
    installed = Installation.chosen()
    if not installed.elsewhere:
        pytest.skip("the servers are the machine's; those of make test-rabbitmq4 have a root")
    return installed.root


def mounts_of(pid: int) -> Path:
    """Its mount namespace, which lives until the last process in it ends."""
    return Path(f"/proc/{pid}/ns/mnt")


def living_in(namespace: Path) -> set[int]:
    """The processes in the namespace of that name."""
    found = set()
    for pid in psutil.pids():
        with suppress(OSError):  # it has ended meanwhile
            if mounts_of(pid).readlink() == namespace:
                found.add(pid)
    return found


@pytest.mark.parametrize("run", [postgres, rabbitmq])
def test_a_server_of_a_root_ends_with_all_its_processes_and_mounts(
    root: Path, run: Callable[[], AbstractContextManager[PostgresServer | RabbitNode]]
) -> None:
    with run() as server:
        for end in (server.stop, server.kill):
            assert Path(f"/proc/{server.pid}/root").readlink() == root.resolve()
            mounts = mounts_of(server.pid).readlink()
            with mounts_of(server.pid).open():  # or another server's could get that name
                assert {process.pid for process in server.processes()} == living_in(mounts)
                assert str(root.resolve()) not in Path("/proc/self/mountinfo").read_text()
                end()
                assert not living_in(mounts)
            server.start()
