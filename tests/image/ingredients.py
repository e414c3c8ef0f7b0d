"""What an image is built from with no registry: a base of Debian's packages, and pip's wheels.

Both come by the machine's own apt and pip, and nothing of their settings comes with them.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venv/image"
LOCKS = ("requirements-image.lock", "requirements.lock")
"""What the Dockerfile installs: the processes that sell, and shoppers."""

RELEASE = "trixie"
"""The Debian that has the Python of the Dockerfile, and the servers of the Compose file."""

_SOURCES = [
    *("apt-get", "indextargets", "--format", f"deb $(REPO_URI) {RELEASE} main"),
    *("Created-By: Packages", "Origin: Debian", "Component: main"),
]
_MAKE_PYTHON = ROOT / "scripts/debian-python"
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
    """The least of Debian that has Python with venv, as a tar file. Raises `NotAllowedHere`."""
    return debian("base", *_BASE)


def debian(name: str, *mmdebstrap: str) -> Path:
    """Return a tar file of `RELEASE`, as a command makes it. Raises `NotAllowedHere`.

    It comes from the machine's own mirrors.
    """
    printed = subprocess.run(_SOURCES, capture_output=True, text=True, check=True).stdout
    if not printed:
        raise NotAllowedHere("apt knows no packages of Debian: apt-get update")
    # Those of updates and security fixes have other names for their releases.
    sources = "\n".join(sorted({line for line in printed.splitlines() if "security" not in line}))
    # The tar file is as good as the recipe it was made by.
    tar = CACHE / f"{name}-{digest(sources, RELEASE, *mmdebstrap)}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = tar.with_suffix(f".{os.getpid()}.tar")
        done = subprocess.run(
            [*mmdebstrap, RELEASE, unfinished, "-"],
            input=sources,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            unfinished.unlink(missing_ok=True)
            why = done.stderr[-300:]
            raise NotAllowedHere(f"mmdebstrap can't make a Debian {RELEASE} here: {why}")
        unfinished.rename(tar)
    return tar


def wheels(checkout: Path = ROOT, locks: Sequence[str] = LOCKS) -> Path:
    """A folder with every wheel that the locks of a checkout name. Raises `NotAllowedHere`."""
    texts = [(checkout / lock).read_text() for lock in locks]
    folder = CACHE / f"wheels-{digest(RELEASE, *texts)}"
    if not folder.exists():
        # The base's Python decides which wheels those are, in the tree of this machine.
        debian_python = ROOT / ".venv/pythons" / RELEASE
        made = subprocess.run(
            [_MAKE_PYTHON, RELEASE, debian_python], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise NotAllowedHere(made.stderr.strip())
        unfinished = Path(tempfile.mkdtemp(dir=CACHE))
        for lock in locks:
            subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "--python", debian_python / "usr/bin/python3"),
                    *("download", "--quiet", "--require-hashes", "--only-binary", ":all:"),
                    *("--no-deps", "--dest", unfinished, "--requirement", checkout / lock),
                ],
                check=True,
            )
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    return folder


def digest(*parts: str) -> str:
    """Return a short name for what is made from these parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
