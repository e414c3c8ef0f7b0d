"""The share of a processor that each process takes, while a load runs."""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from loadtest.measure.usage import family, usage


@dataclass
class Cores:
    """CPU seconds of processes by name, their children included, sampled side by side."""

    at: list[float] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    _roots: dict[str, int] = field(default_factory=dict)

    def follow(self, name: str, pid: int) -> None:
        """Sample this process from now on."""
        self._roots[name] = pid
        self.seconds[name] = [0.0] * len(self.at)

    def sample(self) -> None:
        """Look once more."""
        self.at.append(time.monotonic())
        for name, root in self._roots.items():
            spent = self.seconds[name]
            seconds = 0.0
            with suppress(psutil.NoSuchProcess):
                seconds = usage(family(root)).cpu_seconds
            # A child that ended takes its seconds along: a total never falls.
            spent.append(max(seconds, spent[-1] if spent else 0.0))

    def shares(self) -> dict[str, float]:
        """Cores that each took on average, over the busiest half of the time."""
        return {
            name: _busiest(self.at, spent) for name, spent in self.seconds.items() if len(spent) > 2
        }

    def rate(self, name: str, at: int) -> float:
        """Cores that it took in the time before a sample."""
        if at == 0:
            return 0.0
        spent = self.seconds[name]
        return (spent[at] - spent[at - 1]) / max(1e-9, self.at[at] - self.at[at - 1])


def _busiest(at: list[float], spent: list[float]) -> float:
    half = max(1, len(at) // 2)
    starts = range(len(at) - half)
    return max(((spent[i + half] - spent[i]) / (at[i + half] - at[i]) for i in starts), default=0.0)


def listener(port: int) -> int | None:
    """The process that listens on this loopback port, if it may be known."""
    with suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                return connection.pid
    return None
