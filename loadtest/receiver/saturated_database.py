"""A model of a database that falls over: queues, contention, and clients that wait in vain.

It is a model, and no database runs. It has three parts, each as simple as it can be:

- A fixed number of **connections**. Each executes one query at a time, and a query takes so long
  that all of them together do `capacity` and a tenth. The tenth is what a database needs that is
  run at its limit for long: with none to spare, a queue that was there once would stay for ever.
- **Contention.** Queries that wait cost those that run: they hold locks and memory, and the same
  cores look after them. While a second's worth of queries waits, a query takes `1 + contention`
  times as long. So the throughput falls as the queue grows, as it does in the Universal
  Scalability Law (N. Gunther, *Guerrilla Capacity Planning*).
- **Patience.** A query that gets no connection within `patience` seconds fails. So the queue ends
  when the load does, and the database recovers.

Under `capacity` nothing fails. At twice of it the queue grows, queries become slower, less is done
than at half the load, and most of what arrives waits for nothing.

The model reads no clock: it is told what time it is, and does what happened until then at the
moments at which it happened, however late it is told.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Query = TypeVar("Query")

_TO_SPARE = 1.1
_SPREAD = 0.5
_QUERIES_A_CONNECTION = 62.5  # a second, so that a query takes about 15 ms at any capacity


def connections_for(capacity: float) -> int:
    """Return how many connections a database of that capacity has, unless told otherwise."""
    return max(1, round(capacity / _QUERIES_A_CONNECTION))


@dataclass(frozen=True)
class Limits:
    """What the database can take.

    `capacity` is in queries a second, `patience` in seconds. See the module for `contention`.
    """

    capacity: float = 2_000
    connections: int = 32
    contention: float = 2.0
    patience: float = 1.0

    def __post_init__(self) -> None:
        """Raise `ValueError` for limits that no database has."""
        if self.capacity <= 0 or self.connections < 1 or self.contention < 0 or self.patience <= 0:
            raise ValueError(
                "capacity and patience must be more than 0, connections at least 1,"
                " contention at least 0"
            )

    def service_seconds(self, waiting: int) -> float:
        """Return how long a query takes on average while `waiting` others wait."""
        alone = self.connections / (self.capacity * _TO_SPARE)
        return alone * (1 + self.contention * waiting / self.capacity)


@dataclass(frozen=True)
class Ended(Generic[Query]):
    """The end of a query at a moment: it is done, or it got no connection in time."""

    query: Query
    at: float
    done: bool


class SaturatedDatabase(Generic[Query]):
    """The database. Moments are in seconds and never go back."""

    def __init__(self, limits: Limits, chance: random.Random) -> None:
        self._limits = limits
        self._chance = chance
        self._running: list[tuple[float, int, Query]] = []
        self._waiting: deque[tuple[float, Query]] = deque()
        self._started = 0

    @property
    def waiting(self) -> int:
        """The number of queries that wait for a connection."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """The number of queries that have a connection."""
        return len(self._running)

    @property
    def next_end(self) -> float | None:
        """The moment at which the next query ends; None if there is none."""
        moments = []
        if self._running:
            moments.append(self._running[0][0])
        if self._waiting:
            moments.append(self._gives_up_at())
        return min(moments, default=None)

    def arrive(self, query: Query, now: float) -> None:
        """Take a query. Call `advance` for this moment before."""
        if self._waiting or len(self._running) >= self._limits.connections:
            self._waiting.append((now, query))
        else:
            self._start(query, now)

    def advance(self, now: float) -> list[Ended[Query]]:
        """Return the queries that ended until now, in the order of their ends."""
        ended = []
        while (moment := self.next_end) is not None and moment <= now:
            if self._running and self._running[0][0] == moment:
                ended.append(Ended(heapq.heappop(self._running)[2], moment, True))
                if self._waiting:
                    self._start(self._waiting.popleft()[1], moment)
            else:
                ended.append(Ended(self._waiting.popleft()[1], moment, False))
        return ended

    def _start(self, query: Query, now: float) -> None:
        seconds = self._limits.service_seconds(len(self._waiting))
        seconds *= self._chance.uniform(1 - _SPREAD, 1 + _SPREAD)
        self._started += 1
        heapq.heappush(self._running, (now + seconds, self._started, query))

    def _gives_up_at(self) -> float:
        return self._waiting[0][0] + self._limits.patience
