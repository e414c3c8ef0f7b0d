"""A disk whose power can be cut keeps what was synced, and is released however its user ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.processes import own_environment
from tests.faults.image_disk import ImageDisk, NoImageDisk, image_disk

ROOT = Path(__file__).parents[2]
_WAIT_SECONDS = 60.0

_USER = """
import sys, time
from pathlib import Path
from loadtest import watchdog
from tests.faults.image_disk import image_disk

if sys.argv[2] == "no watchdog":
    watchdog.discard = lambda folder: None
with image_disk() as disk:
    written = Path(sys.argv[1], "written")
    written.write_text(str(disk.files))
    written.rename(written.with_name("ready"))
    time.sleep(600)
"""


@pytest.fixture
def disk() -> Iterator[ImageDisk]:
    try:
        with image_disk() as mounted:
            yield mounted
    except NoImageDisk as error:
        pytest.skip(str(error))


def write(file: Path, *, sync: bool) -> None:
    with file.open("ab") as written:
        written.write(b"-" * 10_000)
        if sync:
            os.fsync(written.fileno())


def test_only_what_was_synced_survives_a_power_cut(disk: ImageDisk) -> None:
    synced, not_synced, later = (disk.files / name for name in ("synced", "not", "later"))
    write(not_synced, sync=False)
    write(synced, sync=True)
    disk.capture()
    write(later, sync=True)
    disk.restore()
    assert synced.read_bytes() == b"-" * 10_000
    assert not not_synced.exists() or not_synced.read_bytes() == b""
    assert not later.exists()


def test_nothing_of_a_disk_is_left(disk: ImageDisk) -> None:
    devices = loop_devices(disk.files)
    assert len(devices) == 1
    disk.capture()
    disk.restore()
    disk.remove()
    assert not disk.files.parent.exists()
    assert not loop_devices(disk.files)


@pytest.mark.parametrize("watched", ["watchdog", "no watchdog"])
def test_a_disk_is_released_after_kill_9_of_its_user(
    disk: ImageDisk, tmp_path: Path, watched: str
) -> None:
    """By the watchdog at once; if that was killed as well, by the next one who makes a disk."""
    user = subprocess.Popen(
        [sys.executable, "-c", _USER, str(tmp_path), watched],
        env=own_environment() | {"PYTHONPATH": str(ROOT)},
    )
    try:
        await_that(lambda: (tmp_path / "ready").exists() or user.poll() is not None)
        files = Path((tmp_path / "ready").read_text())
        assert loop_devices(files)
    finally:
        user.send_signal(signal.SIGKILL)
        user.wait()
    if watched == "no watchdog":
        with image_disk():
            pass
    await_that(lambda: not files.parent.exists())
    await_that(lambda: not loop_devices(files))


def loop_devices(files: Path) -> list[str]:
    """The loop devices of the image beside those files."""
    backing = Path("/sys/block").glob("loop*/loop/backing_file")
    image = str(files.parent / "image")
    return [file.parts[3] for file in backing if read(file).startswith(image)]


def read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # the device was released since it was listed
        return ""


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
