"""What processes use of the machine."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """Of some processes together: processor time since they began, memory at this moment."""

    cpu_seconds: float
    rss_bytes: int


def usage(processes: Iterable[psutil.Process]) -> Usage:
    """Look once. A process that has ended uses nothing."""
    cpu, rss = 0.0, 0
    for process in processes:
        with suppress(psutil.NoSuchProcess), process.oneshot():
            times = process.cpu_times()
            cpu += times.user + times.system
            rss += process.memory_info().rss
    return Usage(cpu, rss)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def megabytes(count: float) -> float:
    """Of so many bytes, to a tenth."""
    return round(count / 2**20, 1)
