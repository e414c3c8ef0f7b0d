"""A disk whose power can be cut: what was never synced is not on it afterwards.

The disk is an ext4 file system in an image file, mounted by a loop device with ext4's defaults.
What a program writes stays in the page cache of this file system until it is synced, or until the
kernel writes it back, 30 s later by default (`vm.dirty_expire_centisecs`). A copy of the image file
has nothing of that cache. It is what a machine would find on its disk after a power cut.

A real disk may lose more: also what has reached its own volatile cache, without a flush.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from loadtest import watchdog
from loadtest.servers import Server
from tests.processes import prepare

_PREFIX = "flashsale-disk-"
_MEGABYTES = 256
_STOPPED_SECONDS = 10.0
_QUIET_SECONDS = 30.0
_POLL_SECONDS = 0.01


class NoImageDisk(Exception):
    """This machine can't mount an image. The message is the reason."""


class DiskError(Exception):
    """A command failed. The message is the first line that it printed."""


class ImageDisk:
    """A disk in a folder with the image and, in `files`, the mounted file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files = folder / "files"
        """The root of the file system."""
        self._image = folder / "image"
        self._captured = folder / "captured"

    @classmethod
    def under(cls, path: Path) -> "ImageDisk":
        """Return the disk on which that folder is."""
        root = next(each for each in path.parents if each.name == "files" and each.is_mount())
        return cls(root.parent)

    def format(self) -> None:
        """Make an empty file system and mount it."""
        self.files.mkdir()
        with self._image.open("wb") as image:
            image.truncate(_MEGABYTES << 20)
        # Else a kernel thread would still write to a new file system when it is captured.
        at_once = "lazy_itable_init=0,lazy_journal_init=0"
        _run("mkfs.ext4", "-q", "-E", at_once, str(self._image))
        self._mount()
        self.files.chmod(0o1777)  # as /tmp: servers run as other users

    def sync(self) -> None:
        """Write back all that was written so far, as time does on a machine that has run longer."""
        _run("sync", "--file-system", str(self.files))

    def capture(self) -> None:
        """Copy what is on the disk now, without what was not synced. No process may write to it."""
        deadline = time.monotonic() + _QUIET_SECONDS
        while True:
            before = self._writes()
            _run("cp", "--sparse=always", str(self._image), str(self._captured))
            # The kernel writes back when it likes to, and a copy is not made in one moment.
            if before == self._writes():
                return
            if time.monotonic() > deadline:
                raise AssertionError("something keeps writing to the disk")
            time.sleep(_POLL_SECONDS)

    def restore(self) -> None:
        """Replace the disk by what was captured. No process may have a file of it open."""
        self._unmount()
        self._captured.replace(self._image)
        self._mount()

    def remove(self) -> None:
        """Unmount the disk, whoever uses it, and delete it."""
        if self.files.is_mount():
            self._unmount()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _mount(self) -> None:
        # The loop device is released together with the mount.
        _run("mount", "-t", "ext4", "-o", "loop", str(self._image), str(self.files))

    def _unmount(self) -> None:
        _run("umount", "--lazy", str(self.files))

    def _writes(self) -> tuple[str, ...]:
        """Return the numbers of writes to the loop device: those done, and those going on."""
        device = os.stat(self.files).st_dev
        stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text()
        fields = stat.split()  # https://docs.kernel.org/block/stat.html
        return fields[4], fields[8]


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise DiskError(f"no {command[0]} here") from error
    except subprocess.CalledProcessError as error:
        raise DiskError(error.stderr.partition("\n")[0]) from error


@contextmanager
def image_disk() -> Iterator[ImageDisk]:
    """Make a disk for as long as this lasts. Raises `NoImageDisk`."""
    _remove_left_disks()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    folder.chmod(0o755)  # the database is another user's
    watchdog.discard(folder)
    disk = ImageDisk(folder)
    try:
        try:
            disk.format()
        except DiskError as error:
            raise NoImageDisk(f"no disk image can be mounted here: {error}") from error
        yield disk
    finally:
        disk.remove()


def _remove_left_disks() -> None:
    """Remove the disks of processes that ended together with their watchdog."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            ImageDisk(folder).remove()


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Have what makes temporary folders make them in that folder."""
    prepare()  # its folder is to outlive this one
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def cut_power(*servers: Server) -> None:
    """Cut the power of servers on disks at one moment, and start them on what is left.

    Everything that a client was told before was told before the moment of the cut.
    """
    for server in servers:
        stop_at_once(server)
    disks = [ImageDisk.under(server.folder) for server in servers]
    for disk in disks:
        disk.capture()
    for server in servers:
        server.kill()
    for disk in disks:
        disk.restore()
    for server in servers:
        server.start()


def stop_at_once(server: Server) -> None:
    """Freeze a server, and return once none of its threads runs any more."""
    server.pause()
    server.pause()  # also those that it forked meanwhile
    await_stopped([process.pid for process in server.processes()])


def await_stopped(pids: list[int]) -> None:
    """Return once no thread of these processes, to which SIGSTOP was sent, runs any more."""
    deadline = time.monotonic() + _STOPPED_SECONDS
    while running := [pid for pid in pids if not _stopped(pid)]:
        if time.monotonic() > deadline:
            raise AssertionError(f"still running: {running}")
        time.sleep(_POLL_SECONDS)


def _stopped(pid: int) -> bool:
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # the thread has ended
            states.append(task.read_text().rpartition(") ")[2][0])
    return set(states) <= set("TtZX")
