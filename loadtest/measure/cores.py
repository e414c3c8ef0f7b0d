"""Measure the processor cores that each process uses during a load."""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from loadtest.measure.usage import process_tree, usage


@dataclass
class Cores:
    """Samples of the CPU seconds of processes by name, children included."""

    at: list[float] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    _roots: dict[str, int] = field(default_factory=dict)

    def follow(self, name: str, pid: int) -> None:
        """Sample this process from now on."""
        self._roots[name] = pid
        self.seconds[name] = [0.0] * len(self.at)

    def sample(self) -> None:
        """Take a sample of each process."""
        self.at.append(time.monotonic())
        for name, root in self._roots.items():
            spent = self.seconds[name]
            seconds = 0.0
            with suppress(psutil.NoSuchProcess):
                seconds = usage(process_tree(root)).cpu_seconds
            # The seconds of an ended child are lost, but a total must not fall.
            spent.append(max(seconds, spent[-1] if spent else 0.0))

    def shares(self) -> dict[str, float]:
        """Return the average cores used by each process in the busiest half of the time."""
        return {
            name: _busiest(self.at, spent) for name, spent in self.seconds.items() if len(spent) > 2
        }

    def rate(self, name: str, at: int) -> float:
        """Return the cores used by a process between a sample and the one before."""
        if at == 0:
            return 0.0
        spent = self.seconds[name]
        return (spent[at] - spent[at - 1]) / max(1e-9, self.at[at] - self.at[at - 1])


def _busiest(at: list[float], spent: list[float]) -> float:
    half = max(1, len(at) // 2)
    starts = range(len(at) - half)
    return max(((spent[i + half] - spent[i]) / (at[i + half] - at[i]) for i in starts), default=0.0)


def listening_pid(port: int) -> int | None:
    """Return the id of the process that listens on this port; None if unknown."""
    with suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                return connection.pid
    return None
