"""Describe the machine of a benchmark, without which its figures mean little."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil


def machine() -> str:
    """Return usable cores, processor, memory and operating system in one line."""
    cores = len(os.sched_getaffinity(0))
    gigabytes = psutil.virtual_memory().total / 2**30
    return f"{cores} cores of {_processor()}, {gigabytes:.0f} GB, {platform.system()}"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of these packages."""
    return {"Python": platform.python_version()} | {name: version(name) for name in packages}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()
