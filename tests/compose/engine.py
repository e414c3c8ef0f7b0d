"""A private Docker daemon, from Debian's package, in a folder of its own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest import watchdog
from tests.image.ingredients import NotAllowedHere

_START_SECONDS = 60
# Docker makes sockets in its folder, and their paths may not be long.
_FOLDERS = Path("/var/tmp")


class DockerFailed(Exception):
    """What a command printed last."""


class Engine:
    """A running daemon."""

    def __init__(self, folder: Path) -> None:
        self.host = f"unix://{folder}/docker.sock"

    def __call__(self, *arguments: str | Path, timeout: float = 600) -> str:
        """Return what a `docker` command prints. Raises `DockerFailed`."""
        done = subprocess.run(
            ["/usr/bin/docker", *arguments],
            # The builder of the engine itself: the other one is a program that Debian 12 lacks.
            env=os.environ | {"DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise DockerFailed((done.stdout + done.stderr)[-4000:])
        return done.stdout.strip()


@contextmanager
def engine() -> Iterator[Engine]:
    """Run a daemon. Raises `NotAllowedHere`."""
    if os.geteuid() != 0:
        raise NotAllowedHere("only root can run a Docker daemon")
    if shutil.which("dockerd") is None or not Path("/usr/bin/docker").exists():
        raise NotAllowedHere("docker.io is not installed: make test-compose installs it")
    watchdog.start()
    with tempfile.TemporaryDirectory(
        dir=_FOLDERS, prefix="flashsale-", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        made = Engine(folder)
        log = folder / "log"
        with log.open("wb") as file:
            daemon = subprocess.Popen(
                [
                    *("dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec"),
                    *("--pidfile", folder / "pid", "--host", made.host),
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            _await(made, daemon, log)
            yield made
        finally:
            daemon.terminate()
            try:
                daemon.wait(60)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _await(made: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            made("version")
            return
        except DockerFailed as error:
            if daemon.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise NotAllowedHere(f"a Docker daemon can't run here: {last}") from error
        time.sleep(0.2)
