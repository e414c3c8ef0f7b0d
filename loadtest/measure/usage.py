"""Measure the processor time and memory of processes."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """The sum over some processes: processor time since their start, memory now."""

    cpu_seconds: float
    rss_bytes: int


def usage(processes: Iterable[psutil.Process]) -> Usage:
    """Return the usage of some processes together. An ended process counts 0."""
    cpu, rss = 0.0, 0
    for process in processes:
        with suppress(psutil.NoSuchProcess), process.oneshot():
            times = process.cpu_times()
            cpu += times.user + times.system
            rss += process.memory_info().rss
    return Usage(cpu, rss)


def process_tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def megabytes(count: float) -> float:
    """Convert bytes to mebibytes, rounded to a tenth."""
    return round(count / 2**20, 1)
