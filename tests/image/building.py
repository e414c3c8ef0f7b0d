"""The Dockerfile, built by buildah."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.image.ingredients import CACHE, LOCKS, ROOT, NotAllowedHere, base, wheels

BASE = "localhost/base"

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PIP_CONF = "[global]\nno-index = true\nfind-links = /wheels\n"


class BuildahFailed(Exception):
    """What buildah printed last."""


@dataclass
class Image:
    """A built image: its files, and how it wants to be started."""

    tree: Path
    user: str
    environment: list[str]
    entrypoint: list[str]

    @property
    def sizes(self) -> dict[str, int]:
        """Every path in it, and its size, which is 0 for what is not a file."""
        return {
            os.path.relpath(os.path.join(folder, name), self.tree): _size(Path(folder, name))
            for folder, folders, files in os.walk(self.tree)
            for name in (*folders, *files)
        }


class Buildah:
    """Debian's buildah on a storage of its own, which needs no mount of the machine's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pip_conf = folder / "pip.conf"
        self._pip_conf.write_text(_PIP_CONF)

    def __call__(self, *arguments: str | Path) -> str:
        """What the command prints. Raises `BuildahFailed`."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [
                *("buildah", "--storage-driver", "vfs"),
                *("--root", self._folder / "storage", "--runroot", self._folder / "run"),
                *arguments,
            ],
            env=os.environ | {"TMPDIR": str(self._folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildahFailed((done.stdout + done.stderr)[-4000:])
        return done.stdout.strip()

    def take_base(self, tar: Path) -> None:
        """Make the base an image. Raises `BuildahFailed`, also if nothing can be run in it."""
        container = self("from", "scratch")
        self("add", "--quiet", container, tar, "/")
        self("config", "--env", f"PATH={_PATH}", container)
        self("run", "--isolation", "chroot", container, "python", "--version")
        self("commit", "--quiet", "--rm", container, BASE)

    def build(
        self, name: str, *options: str, checkout: Path = ROOT, locks: Sequence[str] = LOCKS
    ) -> Image:
        """Build the Dockerfile of a checkout, which installs the packages of these locks.

        pip finds its wheels where a mount, of the build only, has them.
        """
        tag = f"localhost/{name}"
        self(
            *("build", "--isolation", "chroot", "--pull-never", "--tag", tag),
            *("--build-arg", f"BASE={BASE}", *options),
            *("--volume", f"{wheels(checkout, locks)}:/wheels:ro"),
            *("--volume", f"{self._pip_conf}:/etc/pip.conf:ro"),
            checkout,
        )
        return self.image(tag)

    def image(self, tag: str) -> Image:
        """The image of that name."""
        config = json.loads(self("inspect", "--type", "image", tag))["OCIv1"]["config"]
        # With this storage a mount is a folder, and ends with the storage.
        tree = Path(self("mount", self("from", "--pull-never", tag)))
        return Image(tree, config.get("User", ""), config["Env"], config.get("Entrypoint", []))


@contextmanager
def buildah() -> Iterator[Buildah]:
    """A buildah that has the base. Raises `NotAllowedHere`."""
    for program in ("buildah", "mmdebstrap", "patchelf"):
        if shutil.which(program) is None:
            raise NotAllowedHere(f"{program} is not installed: make test-image installs it")
    if os.geteuid() != 0:
        raise NotAllowedHere("only root can make files of others, as an image has them")
    mounts = ["unshare", "--mount", "true"]
    done = subprocess.run(mounts, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotAllowedHere(f"nothing can be mounted here: {done.stderr.strip()}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        made = Buildah(Path(folder))
        tar = base()
        wheels()
        try:
            made.take_base(tar)
        except BuildahFailed as error:
            reason = str(error)[-300:]
            raise NotAllowedHere(f"buildah can't run a command here: {reason}") from error
        yield made


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0
