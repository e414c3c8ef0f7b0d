"""What an image is built from with no registry: a base of Debian's packages, and pip's wheels.

Both come by the machine's own apt and pip, and nothing of their settings comes with them.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venv/image"
LOCKS = {"image": ROOT / "requirements-image.lock", "load": ROOT / "requirements.lock"}

_SOURCES = [
    *("apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"),
    *("Created-By: Packages", "Origin: Debian"),
]
# Users get python:slim: this variant of Debian, whose apt brings a libstdc++ that wheels need, and
# a Python that is called so.
_NAME_PYTHON = 'ln -s python3 "$1/usr/bin/python"'
_FORGET_MACHINE = 'rm -f "$1/etc/apt/sources.list" "$1/etc/resolv.conf" "$1/etc/hostname"'
_BASE = [
    *("mmdebstrap", "--quiet", "--mode=root", "--skip=output/dev"),
    *("--variant=minbase", "--include=python3-venv"),
    *(f"--customize-hook={_NAME_PYTHON}", f"--customize-hook={_FORGET_MACHINE}"),
]


class NotAllowedHere(Exception):
    """The machine can't build images. The message says why."""


def base() -> Path:
    """The least of Debian that has Python with venv, as a tar file. Raises `NotAllowedHere`.

    It is of the machine's own release and from the machine's own mirrors.
    """
    sources = subprocess.run(_SOURCES, capture_output=True, text=True, check=True).stdout
    if not sources:
        raise NotAllowedHere("apt knows no packages of Debian: apt-get update")
    # The tar file is as good as the recipe it was made by.
    tar = CACHE / f"base-{digest(sources, *_BASE)}.tar"
    if not tar.exists():
        unfinished = tar.with_suffix(f".{os.getpid()}.tar")
        done = subprocess.run(
            [*_BASE, "", unfinished, "-"],
            input=sources,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotAllowedHere(f"mmdebstrap can't make a base here: {done.stderr[-300:]}")
        unfinished.rename(tar)
    return tar


def wheels() -> Path:
    """A folder with every wheel that the locks name."""
    folder = CACHE / f"wheels-{digest(*(lock.read_text() for lock in LOCKS.values()))}"
    if not folder.exists():
        unfinished = Path(tempfile.mkdtemp(dir=CACHE))
        for lock in LOCKS.values():
            # By Debian's Python, which mmdebstrap needs too: it is the base's.
            subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "--python", "/usr/bin/python3", "download"),
                    *("--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps"),
                    *("--dest", unfinished, "--requirement", lock),
                ],
                check=True,
            )
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    return folder


def digest(*parts: str) -> str:
    """Return a short name for what is made from these parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
