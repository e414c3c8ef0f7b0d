"""End everything that this process started, however this process itself ends.

`start()` runs a small process that holds the other end of a pipe. When this process is gone, by
SIGKILL too, the pipe closes; the watchdog then kills what this process left running, and removes
its folders and what is mounted in them. It knows the processes by a mark in their environment,
which their children inherit into whatever session or process group they go.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MARKS = "LOADTEST_WATCHDOGS"
"""The variable with the marks of all processes that are to end this one, colons between."""

_CLEAN_UP_SECONDS = 30.0
_POLL_SECONDS = 0.05

_starting = Lock()


def start() -> None:
    """Have what this process starts from now on end with it. Further calls change nothing."""
    with _starting:
        _pipe_of(os.getpid())


def discard(folder: Path) -> None:
    """Remove that folder when this process ends, if it is still there.

    Unmount first what is mounted in it.
    """
    with _starting:
        os.write(_pipe_of(os.getpid()), f"{folder}\n".encode())


@cache
def _pipe_of(_: int) -> int:
    """The pipe to the watchdog of this process."""
    mark = secrets.token_hex(8)
    read_end, write_end = os.pipe()
    # A child that is only forked would keep the pipe open.
    os.register_at_fork(after_in_child=lambda: _close(write_end))
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", __file__, mark],
        # Unmarked: the watchdog of another process is not to end it before its work is done.
        {name: value for name, value in os.environ.items() if name != MARKS},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, read_end, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,  # a Ctrl-C at the terminal is not for the watchdog
    )
    os.close(read_end)
    os.environ[MARKS] = ":".join(filter(None, (os.environ.get(MARKS), mark)))
    return write_end


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def _watch(mark: str) -> None:
    """Wait until the pipe on standard input closes, and clean up."""
    folders = [line.rstrip("\n") for line in sys.stdin]
    deadline = time.monotonic() + _CLEAN_UP_SECONDS
    while time.monotonic() < deadline:
        if left := list(_left(mark, folders)):
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        else:
            # Children of a server that are not marked see its end a moment later, and may write
            # a file until then: so try again.
            for folder in folders:
                _unmount(folder)
                shutil.rmtree(folder, ignore_errors=True)
            if not any(map(os.path.exists, folders)):
                return
        time.sleep(_POLL_SECONDS)


def _unmount(folder: str) -> None:
    """Unmount everything that is mounted on that folder or in it. Loop devices end with that."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():  # not Linux
        return
    points = [line.split()[1] for line in mounts.read_text().splitlines()]
    for point in reversed(points):  # the latest one first
        if Path(point).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", point], check=False)


def _left(mark: str, folders: list[str]) -> Iterator["psutil.Process"]:
    """What still runs of the process with that mark."""
    import psutil  # here, as a watchdog is only to start fast

    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            try:
                ours = mark in process.environ().get(MARKS, "").split(":")
            except psutil.AccessDenied:
                # A database that root runs as another user names its folder on its command line.
                ours = any(folder in part for part in process.cmdline() for folder in folders)
            if ours:
                yield process


if __name__ == "__main__":
    _watch(sys.argv[1])
