"""The time by which orders are paced."""

import time

from consumer.clock.drain_clock import DrainClock


class PaceClock:
    """A monotonic clock that runs no faster than the machine's, and no faster than the drain's.

    The clock of the drain stands still for a moment when a better reading of the database's clock
    sets it back, and runs slower while it follows a step. So a second by that clock, which orders
    are recorded by, may take longer than one. Paced by this clock, neither has too many orders.
    """

    def __init__(self, drain_clock: DrainClock) -> None:
        self._drain_clock = drain_clock
        self._at = time.monotonic()
        self._now = self._at
        self.drain_time = drain_clock.now()
        """The Unix time by the clock of the drain, at the last call of `now`."""

    def now(self) -> float:
        """Return the time in seconds. Only differences have a meaning."""
        at, drain_time = time.monotonic(), self._drain_clock.now()
        self._now += max(0.0, min(at - self._at, drain_time - self.drain_time))
        self._at, self.drain_time = at, drain_time
        return self._now
