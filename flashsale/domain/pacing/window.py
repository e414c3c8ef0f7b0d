"""A sliding window: at most so many orders in any span of time."""

import math
from collections import deque
from dataclasses import dataclass

MARGIN_SECONDS = 0.0005
"""Windows are longer by this, as another clock may run a little faster or slower.

It costs 0.05 % of the rate.
"""
KEPT_SECONDS = 0.05
"""For how long a window remembers the orders that have left it."""


@dataclass(slots=True)
class _Limit:
    """A limit of `most` orders in a window. It counts from the entry number `first` on."""

    most: int
    since: float
    first: int
    total: int = 0


class Window:
    """The orders of the last `seconds` and their limit, which may change.

    An order is in flight from `begin` until `end`, and leaves the window `seconds` after that. What
    is counted happens in between. So no window has more of it than the limit. Orders may end in
    any order.

    A lower limit counts the orders that were in flight when it was set and those released later,
    and holds in every window that begins later. The limit before it still holds in windows that
    began earlier. A higher limit counts all orders. So no window has more orders than the highest
    limit during that window; only orders in flight at a decrease may be more than the lower limit.
    """

    def __init__(self, seconds: float, limit: int) -> None:
        """Allow `limit` orders in any window of `seconds`."""
        self.seconds = seconds
        self._ended: deque[tuple[float, int]] = deque()
        self._first = 0  # the number of the oldest entry of the deque
        self._in_flight = 0
        # The oldest first, each lower than the one before. There is only one, except during one
        # window after a decrease.
        self._limits = [_Limit(limit, -math.inf, 0)]

    @property
    def limit(self) -> int:
        """The limit in force."""
        return self._limits[-1].most

    def change(self, limit: int, now: float) -> None:
        """Set another limit from `now` on."""
        new = _Limit(limit, now, self._first + len(self._ended), self._in_flight)
        while self._limits and self._limits[-1].most <= limit:
            lower = self._limits.pop()
            new = _Limit(limit, lower.since, lower.first, lower.total)
        self._limits.append(new)

    def room(self, now: float, lead: float = 0.0) -> int:
        """Return how many more orders fit at `now + lead`, if nothing else is added until then.

        With a lead below 0, of -50 ms at the least, return how many of the places that are free now
        were free at that time already.
        """
        self._forget(now)
        return min(self._room(limit, now + lead) for limit in self._limits)

    def opens_at(self, now: float, count: int) -> float:
        """Return when `count` more orders fit if nothing is added: `now` if they fit already.

        For 0 that is when those in flight fit. Return infinity if what is in flight has to end
        first.
        """
        self._forget(now)
        return max(self._opens_at(limit, now, count) for limit in self._limits)

    def begin(self, count: int) -> None:
        """Count `count` orders that are in flight from now on."""
        self._in_flight += count
        for limit in self._limits:
            limit.total += count

    def end(self, now: float, count: int | None = None) -> None:
        """Count `count` of the orders in flight, all of them by default, as those of `now`."""
        count = self._in_flight if count is None else min(count, self._in_flight)
        if count:
            self._ended.append((now, count))
            self._in_flight -= count

    def _room(self, limit: _Limit, at: float) -> int:
        room = limit.most - limit.total
        for number, (ended_at, orders) in enumerate(self._ended, self._first):
            if ended_at + self.seconds >= at:
                break
            room += orders if number >= limit.first else 0
        return room

    def _opens_at(self, limit: _Limit, now: float, count: int) -> float:
        missing = count - (limit.most - limit.total)
        if missing <= 0:
            return now
        for number, (ended_at, orders) in enumerate(self._ended, self._first):
            if number >= limit.first:
                missing -= orders
                if missing <= 0:
                    return max(now, math.nextafter(ended_at + self.seconds, math.inf))
        return math.inf

    def _forget(self, now: float) -> None:
        # What was exactly one window ago still counts, so that closed windows obey the limit, too.
        while self._ended and self._ended[0][0] + self.seconds < now - KEPT_SECONDS:
            _, count = self._ended.popleft()
            for limit in self._limits:
                if limit.first <= self._first:
                    limit.total -= count
            self._first += 1
        # All open windows began after the next decrease.
        while len(self._limits) > 1 and self._limits[1].since + self.seconds < now:
            del self._limits[0]
