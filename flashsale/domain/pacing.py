"""The pace of the drain: when may how many more orders go to the database?"""

import math
from collections import deque


class Window:
    """What was released in the last `seconds`; a release leaves it when that time has passed."""

    def __init__(self, seconds: float, limit: int) -> None:
        self.seconds = seconds
        self.limit = limit
        self._releases: deque[tuple[float, int]] = deque()
        self._total = 0

    def room(self, now: float) -> int:
        """How many more fit at `now`."""
        # A release exactly one window ago still counts: closed windows hold the limit as well.
        while self._releases and self._releases[0][0] + self.seconds < now:
            self._total -= self._releases.popleft()[1]
        return self.limit - self._total

    def opens_at(self, now: float, count: int) -> float:
        """When `count` more will fit, if nothing is added: `now` if they fit already."""
        missing = count - self.room(now)
        if missing <= 0:
            return now
        for released_at, released in self._releases:
            missing -= released
            if missing <= 0:
                return math.nextafter(released_at + self.seconds, math.inf)
        return math.inf

    def add(self, now: float, count: int) -> None:
        """Count a release."""
        self._releases.append((now, count))
        self._total += count


class Pacer:
    """Lets at most `rate` orders go in any one-second window, evenly spread, wasting no room.

    Three rules hold at once. Any second: at most `rate`. Any 100 ms: at most a tenth of it plus
    one batch. And a steady beat, a batch of n every n/rate seconds, which may make up for at
    most 50 ms lost to a late wake-up; what was missed before that is gone.

    A token bucket would not do: with a burst of b it admits rate + b in a second. A fixed window
    would not either: it admits 2 x rate across its boundary.

    It reads no clock: `now` is in seconds on one monotonic clock and comes as an argument.
    """

    # The database sees a release a moment after `now` was read, and that moment varies. Keeping
    # each window half a millisecond longer than a second costs 0.05 % and covers the variation.
    _MARGIN = 0.0005
    _CATCH_UP = 0.05

    def __init__(self, rate: int, batch: int) -> None:
        """Pace to `rate` orders a second in batches of at most `batch` orders."""
        if rate < 1 or not 1 <= batch <= rate:
            raise ValueError(f"need rate >= 1 and 1 <= batch <= rate, not {rate=} {batch=}")
        self.rate = rate
        self.batch = batch
        self._second = Window(1 + self._MARGIN, rate)
        self._tenth = Window(0.1 + self._MARGIN, min(rate, rate // 10 + batch))
        self._next_beat = -math.inf

    def delay(self, now: float, count: int = 1) -> float:
        """Seconds from `now` until `count` more orders may go; 0 if they may go at once."""
        count = min(count, self.batch)
        second, tenth = (w.opens_at(now, count) for w in (self._second, self._tenth))
        return max(0.0, self._next_beat - now, second - now, tenth - now)

    def take(self, now: float, wanted: int) -> int:
        """Release up to `wanted` orders at `now`; how many of them, 0 if it is too early."""
        if now < self._next_beat:
            return 0
        count = min(wanted, self.batch, self._second.room(now), self._tenth.room(now))
        if count <= 0:
            return 0
        self._second.add(now, count)
        self._tenth.add(now, count)
        self._next_beat = max(self._next_beat, now - self._CATCH_UP) + count / self.rate
        return count
