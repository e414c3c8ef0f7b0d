"""A steady beat: what is released takes its time at the rate before more follows."""

import math


class Beat:
    """The moments at which more may be released, evenly spread.

    A batch of n orders takes n/rate seconds. The beat makes up for at most 50 ms after a late
    wake-up, and never takes less than three quarters of its time; earlier lost time is not made up
    for.
    """

    _CATCH_UP = 0.05
    # Batches that come closer leave the window closer, and leave a gap a second later.
    _SHORTEST_BEAT = 0.75

    def __init__(self) -> None:
        self._began = self.released_at = -math.inf
        self._seconds = 0.0
        self._orders = 0

    @property
    def next(self) -> float:
        """When the next batch may be released."""
        return max(
            self._began + self._seconds, self.released_at + self._SHORTEST_BEAT * self._seconds
        )

    def begin(self, now: float, count: int, rate: int) -> None:
        """Release `count` orders at `now`."""
        self._began = max(self._began + self._seconds, now - self._CATCH_UP)
        self.released_at = now
        self._orders = count
        self._seconds = count / rate

    def change(self, rate: int) -> None:
        """Give the last batch its time at the higher of both rates."""
        self._seconds = min(self._seconds, self._orders / rate)
