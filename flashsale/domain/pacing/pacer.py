"""The pace of the drain: sliding windows and a steady beat that limit the orders."""

import math
from collections import deque

from flashsale.domain.pacing.beat import Beat
from flashsale.domain.pacing.limits import check_pace, tenth_of
from flashsale.domain.pacing.window import KEPT_SECONDS, MARGIN_SECONDS, Window


class _Windows:
    """A second, and a tenth of a second with room for one batch more than a tenth of the rate."""

    def __init__(self, rate: int, batch: int) -> None:
        self._second = Window(1 + MARGIN_SECONDS, rate)
        self._tenth = Window(0.1 + MARGIN_SECONDS, tenth_of(rate, batch))

    def change(self, rate: int, batch: int, now: float) -> None:
        self._second.change(rate, now)
        self._tenth.change(tenth_of(rate, batch), now)

    def room(self, now: float, lead: float = 0.0) -> int:
        return min(self._second.room(now, lead), self._tenth.room(now, lead))

    def room_in_second(self, now: float, lead: float) -> int:
        return self._second.room(now, lead)

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
    never takes less than three quarters of its time.

    A drain whose transactions take longer than their batches can't keep that beat. It makes up for
    the rest by larger batches, of up to `most` orders, as long as orders of the last second are
    missing that a steady drain would have released. That changes none of the rules.

    The commit is somewhere between the moment when it is sent and the moment when it is seen. So an
    order takes a place in a second of commits from the first until a second after the other, and a
    backlog is drained at rate / (1 + the mean duration of a commit in seconds). The statements
    before it take time, too: an order is released that long before its place is free, by the
    median of the last transactions. If it is faster, its commit waits for the rest.

    A token bucket with a burst of b admits rate + b orders in a second. A fixed window admits
    2 x rate across its boundary.

    It reads no clock: `now` is in seconds of one monotonic clock.
    """

    # A transaction that waits holds its locks, so it never waits longer than that.
    _LONGEST_LEAD = 0.05
    _REMEMBERED_LEADS = 20
    # How late a drain is that takes larger batches, in the time of a batch: this one, and in sum.
    _LATE_NOW = 0.25
    _LATE_BY_PLACES = 1.5
    # A drain that releases nothing for longer had nothing at hand.
    _SHORT_OF_ORDERS = 0.1

    def __init__(self, rate: int, batch: int, most: int | None = None) -> None:
        """Pace to `rate` orders a second in batches of at most `batch` orders.

        A drain that is late releases up to `most` together, `batch` by default.
        Raises `ValueError` unless 1 <= batch <= rate.
        """
        check_pace(rate, batch)
        self.rate = rate
        self.batch = batch
        self._most = batch if most is None else most
        self._behind_since = math.inf
        self._possible_at = math.inf
        self._ended_at = -math.inf
        self._releases = _Windows(rate, batch)
        self._commits = _Windows(rate, batch)
        self._leads: deque[float] = deque(maxlen=self._REMEMBERED_LEADS)
        self._beat = Beat()

    def change(
        self, rate: int, now: float, batch: int | None = None, most: int | None = None
    ) -> None:
        """Pace to another rate from `now` on, in batches of at most `batch` orders.

        After a decrease, the new rate holds in any second that begins later, apart from orders
        that are in flight now. After an increase, no second has more orders than the new rate.
        Without `batch`, the batch stays, but is at most the rate. `most` is `batch` by default.
        Raises `ValueError` unless 1 <= batch <= rate.
        """
        batch = min(self.batch, rate) if batch is None else batch
        check_pace(rate, batch)
        self.rate = rate
        self.batch = batch
        self._most = batch if most is None else most
        self._behind_since = math.inf  # the last second shows the rate before
        self._releases.change(rate, batch, now)
        self._commits.change(rate, batch, now)
        self._beat.change(rate)

    @property
    def most_at_once(self) -> int:
        """How many orders can go together, if nothing went for a while: more than one batch."""
        return tenth_of(self.rate, self.batch)

    def delay(self, now: float, count: int = 1) -> float:
        """Return the seconds from `now` until `count` more orders may be released; 0 for now.

        More than `most_at_once` wait until so many may be. Return infinity if a commit has to be
        seen first.
        """
        count = min(count, self.most_at_once)
        opens_at = max(
            self._beat.next,
            self._releases.opens_at(now, count),
            self._commits.opens_at(now, count) - self._lead,
        )
        return max(0.0, opens_at - now)

    def begin(self, now: float, wanted: int, most: int | None = None) -> int:
        """Release up to `wanted` orders at `now`; return how many: 0 if it is too early.

        They are at most `most`, or one batch without it. They are in flight until `committed` is
        called.
        """
        if now < self._beat.next:
            return 0
        self._note_backlog(now, wanted)
        room = min(self._releases.room(now), self._commits.room(now, self._lead))
        count = min(wanted, self._due(now) if most is None else most, room)
        if count <= 0:
            return 0
        self._beat.begin(now, count, self.rate)
        self._releases.begin(count)
        self._releases.end(now)
        # As if the commit were seen at once.
        self._possible_at = now + self.delay(now, self.batch)
        self._commits.begin(count)
        return count

    def written(self, now: float) -> None:
        """Note that the released orders are written, and only the commit is left to do."""
        self._leads.append(min(self._LONGEST_LEAD, now - self._beat.released_at))

    def commit_delay(self, now: float) -> float:
        """Return the seconds from `now` until the orders in flight may be committed; 0 for now."""
        delay = self._commits.opens_at(now, 0) - now
        # After a decrease they may be more than the rate. Waiting would not make them fewer.
        return 0.0 if math.isinf(delay) else max(0.0, delay)

    def committed(self, now: float) -> None:
        """Count the orders in flight as committed by `now`, or as never to be committed later."""
        self._commits.end(now)
        self._ended_at = now

    def take(self, now: float, wanted: int) -> int:
        """Release up to `wanted` at `now`, as `begin` does, for work that takes no time."""
        count = self.begin(now, wanted)
        self.committed(now)
        return count

    @property
    def _lead(self) -> float:
        """How much earlier than its place an order is released, in seconds."""
        leads = sorted(self._leads)
        return leads[len(leads) // 2] if leads else 0.0

    def _note_backlog(self, now: float, wanted: int) -> None:
        """Note since when the drain has always had a whole batch at hand, except for a moment."""
        idle_for = now - max(self._possible_at, self._ended_at)
        if wanted < self.batch or idle_for > self._SHORT_OF_ORDERS:
            self._behind_since = math.inf
        if wanted >= self.batch:
            self._behind_since = min(self._behind_since, now)

    def _due(self, now: float) -> int:
        """Return how many orders may be released together.

        A drain with a backlog is late if it came later than beat and windows allowed, and if places
        have been free for longer than a batch takes: orders are missing. In the first second of a
        backlog, other places are free, too.
        """
        if self._most <= self.batch or math.isinf(self._behind_since):
            return self.batch
        beat = self.batch / self.rate
        if now - self._possible_at < self._LATE_NOW * beat:
            return self.batch
        since = min(self._LATE_BY_PLACES * beat, KEPT_SECONDS)
        free = self._commits.room_in_second(now, self._lead - since)
        not_yet_due = math.ceil(self.rate * max(0.0, 1 - (now - since - self._behind_since)))
        missing = max(0, free - not_yet_due)
        return min(self._most, self.batch * (1 + missing // self.batch))
