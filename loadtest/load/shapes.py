"""The shapes of a load: when each request is due."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# Upper bounds for every load.
MOST_REQUESTS = 1_000_000
MOST_SECONDS = 300
MOST_CONNECTIONS = 8_192


class Shape(Protocol):
    """A load: when each request is due, in seconds. See `Load` for the rest."""

    @property
    def connections(self) -> int:
        """The most connections."""

    @property
    def patience(self) -> float:
        """The time to wait for answers after the last request, in seconds."""

    def schedule(self) -> list[float]:
        """Return the due time of each request in seconds, in order."""


@dataclass(frozen=True)
class Load:
    """The load: `rate` requests a second for `seconds`, at even or exponential (`poisson`) gaps.

    `patience` is the time to wait for answers after the last request, in seconds. The same `seed`
    gives the same gaps.
    """

    rate: float
    seconds: float
    connections: int = 512
    patience: float = 5.0
    poisson: bool = False
    seed: int = 0

    def schedule(self) -> list[float]:
        """Return the due time of each request in seconds. Raises `ValueError` over a bound."""
        _check(self.rate * self.seconds, self.seconds + self.patience, self.connections)
        if not self.poisson:
            count = round(self.rate * self.seconds)
            return [number / self.rate for number in range(count)]
        return list(self._arrivals())

    def _arrivals(self) -> Iterator[float]:
        chance = random.Random(self.seed)
        moment = chance.expovariate(self.rate)
        while moment < self.seconds:
            yield moment
            moment += chance.expovariate(self.rate)


@dataclass(frozen=True)
class SpikeShape:
    """A spike of `rate` requests a second for `seconds`, between two calms of `base` a second."""

    rate: float
    seconds: float
    base: float = 50.0
    before: float = 2.0
    after: float = 4.0
    connections: int = 512
    patience: float = 5.0

    def schedule(self) -> list[float]:
        """Return the due time of each request in seconds. Raises `ValueError` over a bound."""
        parts = (
            (self.base, self.before),
            (self.rate, self.seconds),
            (self.base, self.after),
        )
        _check(
            sum(rate * seconds for rate, seconds in parts),
            self.before + self.seconds + self.after + self.patience,
            self.connections,
        )
        due: list[float] = []
        begin = 0.0
        for rate, seconds in parts:
            due += [begin + number / rate for number in range(round(rate * seconds))]
            begin += seconds
        return due


def _check(requests: float, seconds: float, connections: float) -> None:
    for value, limit, name in (
        (requests, MOST_REQUESTS, "requests"),
        (seconds, MOST_SECONDS, "seconds"),
        (connections, MOST_CONNECTIONS, "connections"),
    ):
        if not 0 < value <= limit:
            raise ValueError(f"{value:,.0f} {name}: must be more than 0 and at most {limit:,}")
