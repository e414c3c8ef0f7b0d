"""On what a benchmark ran: figures without it mean little."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil


def machine() -> str:
    """Cores that may be used, processor, memory, system."""
    cores = len(os.sched_getaffinity(0))
    gigabytes = psutil.virtual_memory().total / 2**30
    return f"{cores} cores of {_processor()}, {gigabytes:.0f} GB, {platform.system()}"


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of these packages."""
    return {"Python": platform.python_version()} | {name: version(name) for name in packages}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()
