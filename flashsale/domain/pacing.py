"""The pace of the drain: sliding windows and a steady beat that limit the orders."""

import math
from collections import deque
from dataclasses import dataclass


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
    is counted happens in between. So no window has more of it than the limit.

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
        """Return how many more orders fit at `now + lead`, if nothing else is added until then."""
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

    def end(self, now: float) -> None:
        """Count the orders in flight as those of `now`."""
        if self._in_flight:
            self._ended.append((now, self._in_flight))
            self._in_flight = 0

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
                    return math.nextafter(ended_at + self.seconds, math.inf)
        return math.inf

    def _forget(self, now: float) -> None:
        # What was exactly one window ago still counts, so that closed windows obey the limit, too.
        while self._ended and self._ended[0][0] + self.seconds < now:
            _, count = self._ended.popleft()
            for limit in self._limits:
                if limit.first <= self._first:
                    limit.total -= count
            self._first += 1
        # All open windows began after the next decrease.
        while len(self._limits) > 1 and self._limits[1].since + self.seconds < now:
            del self._limits[0]


class _Windows:
    """A second, and a tenth of a second with room for one batch more than a tenth of the rate."""

    # The clock of the database may run a little faster or slower. Windows that are half a
    # millisecond longer cost 0.05 % of the rate and cover the difference.
    _MARGIN = 0.0005

    def __init__(self, rate: int, batch: int) -> None:
        self._second = Window(1 + self._MARGIN, rate)
        self._tenth = Window(0.1 + self._MARGIN, _tenth_of(rate, batch))

    def change(self, rate: int, batch: int, now: float) -> None:
        self._second.change(rate, now)
        self._tenth.change(_tenth_of(rate, batch), now)

    def room(self, now: float, lead: float = 0.0) -> int:
        return min(self._second.room(now, lead), self._tenth.room(now, lead))

    def opens_at(self, now: float, count: int) -> float:
        return max(self._second.opens_at(now, count), self._tenth.opens_at(now, count))

    def begin(self, count: int) -> None:
        self._second.begin(count)
        self._tenth.begin(count)

    def end(self, now: float) -> None:
        self._second.end(now)
        self._tenth.end(now)


class Pacer:
    """Releases at most `rate` orders in any second, evenly spread, and close to that rate.

    Three rules hold together. In any second: at most `rate` orders. In any 100 ms: at most a tenth
    of the rate plus one batch. Both hold by release and by commit. And a steady beat: a batch of n
    orders takes n/rate seconds. The beat makes up for at most 50 ms after a late wake-up, and
    never takes less than three quarters of its time; earlier lost time is not made up for.

    The commit is somewhere between the moment when it is sent and the moment when it is seen. So an
    order takes a place in a second of commits from the first until a second after the other, and a
    backlog is drained at rate / (1 + the mean duration of a commit in seconds). The statements
    before it take time, too: an order is released that long before its place is free, by the
    shortest time of the last transactions. If it is faster still, its commit waits for the rest.

    A token bucket with a burst of b admits rate + b orders in a second. A fixed window admits
    2 x rate across its boundary.

    It reads no clock: `now` is in seconds of one monotonic clock.
    """

    _CATCH_UP = 0.05
    # Batches that come closer leave the window closer, and leave a gap a second later.
    _SHORTEST_BEAT = 0.75
    # A transaction that waits holds its locks, so it never waits longer than that.
    _LONGEST_LEAD = 0.05
    _REMEMBERED_LEADS = 20

    def __init__(self, rate: int, batch: int) -> None:
        """Pace to `rate` orders a second in batches of at most `batch` orders.

        Raises `ValueError` unless 1 <= batch <= rate.
        """
        _check(rate, batch)
        self.rate = rate
        self.batch = batch
        self._releases = _Windows(rate, batch)
        self._commits = _Windows(rate, batch)
        self._leads: deque[float] = deque(maxlen=self._REMEMBERED_LEADS)
        self._beat_began = self._released_at = -math.inf
        self._beat_seconds = 0.0
        self._beat_orders = 0

    def change(self, rate: int, now: float, batch: int | None = None) -> None:
        """Pace to another rate from `now` on, in batches of at most `batch` orders.

        After a decrease, the new rate holds in any second that begins later, apart from orders
        that are in flight now. After an increase, no second has more orders than the new rate.
        Without `batch`, the batch stays, but is at most
        the rate. Raises `ValueError` unless 1 <= batch <= rate.
        """
        batch = min(self.batch, rate) if batch is None else batch
        _check(rate, batch)
        self.rate = rate
        self.batch = batch
        self._releases.change(rate, batch, now)
        self._commits.change(rate, batch, now)
        # The last batch takes its time at the higher of both rates.
        self._beat_seconds = min(self._beat_seconds, self._beat_orders / rate)

    def delay(self, now: float, count: int = 1) -> float:
        """Return the seconds from `now` until `count` more orders may be released; 0 for now.

        Return infinity if a commit has to be seen first.
        """
        count = min(count, self.batch)
        opens_at = max(
            self._next_beat,
            self._releases.opens_at(now, count),
            self._commits.opens_at(now, count) - self._lead,
        )
        return max(0.0, opens_at - now)

    def begin(self, now: float, wanted: int) -> int:
        """Release up to `wanted` orders at `now`; return how many: 0 if it is too early.

        They are in flight until `committed` is called.
        """
        if now < self._next_beat:
            return 0
        room = min(self._releases.room(now), self._commits.room(now, self._lead))
        count = min(wanted, self.batch, room)
        if count <= 0:
            return 0
        self._beat_began = max(self._beat_began + self._beat_seconds, now - self._CATCH_UP)
        self._released_at = now
        self._beat_orders = count
        self._beat_seconds = count / self.rate
        self._releases.begin(count)
        self._releases.end(now)
        self._commits.begin(count)
        return count

    def written(self, now: float) -> None:
        """Note that the released orders are written, and only the commit is left to do."""
        self._leads.append(min(self._LONGEST_LEAD, now - self._released_at))

    def commit_delay(self, now: float) -> float:
        """Return the seconds from `now` until the orders in flight may be committed; 0 for now."""
        delay = self._commits.opens_at(now, 0) - now
        # After a decrease they may be more than the rate. Waiting would not make them fewer.
        return 0.0 if math.isinf(delay) else max(0.0, delay)

    def committed(self, now: float) -> None:
        """Count the orders in flight as committed by `now`, or as never to be committed later."""
        self._commits.end(now)

    def take(self, now: float, wanted: int) -> int:
        """Release up to `wanted` at `now`, as `begin` does, for work that takes no time."""
        count = self.begin(now, wanted)
        self.committed(now)
        return count

    @property
    def _lead(self) -> float:
        """How much earlier than its place an order is released, in seconds."""
        return min(self._leads, default=0.0)

    @property
    def _next_beat(self) -> float:
        return max(
            self._beat_began + self._beat_seconds,
            self._released_at + self._SHORTEST_BEAT * self._beat_seconds,
        )


def batch_of(rate: int, largest: int | None) -> int:
    """Return the batch size at that rate: a fortieth of it, or `largest` if given.

    It is at least 1 and at most the rate.
    """
    return max(1, rate // 40) if largest is None else min(largest, rate)


def _check(rate: int, batch: int) -> None:
    if rate < 1 or not 1 <= batch <= rate:
        raise ValueError(f"need rate >= 1 and 1 <= batch <= rate, not {rate=} {batch=}")


def _tenth_of(rate: int, batch: int) -> int:
    return min(rate, rate // 10 + batch)
