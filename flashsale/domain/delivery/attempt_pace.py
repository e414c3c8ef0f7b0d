"""The pace of attempts: a receiver sees at most so many in any second, by its own clock."""

from flashsale.domain.pacing.beat import Beat
from flashsale.domain.pacing.limits import check_pace, tenth_of
from flashsale.domain.pacing.window import MARGIN_SECONDS, Window


class AttemptPace:
    """Begins at most `rate` attempts in any second, retries included, and close to that rate.

    The receiver sees an attempt somewhere between its start and its answer. So an attempt takes a
    place in a second from the first until a second after the other: those in flight and those that
    were answered in the last second are at most the rate. A backlog is delivered at
    rate / (1 + the mean duration of an attempt in seconds).

    Two more rules spread the attempts by their starts, as `Pacer` spreads orders: a steady beat,
    and in any 100 ms at most a tenth of the rate plus one batch. Attempts in flight don't count for
    the 100 ms, as answers that take 200 ms would cut the rate to a third.

    It reads no clock: `now` is in seconds of one monotonic clock.
    """

    def __init__(self, rate: int, batch: int = 1, step: int | None = None) -> None:
        """Pace to `rate` attempts a second, of which at most `batch` begin at once.

        Without delay `step` of them begin at once, a whole batch by default: those of a step wait
        for each other at the sender and at the receiver, and an attempt holds its place until it is
        answered. An event loop that wakes up late begins more, so that all of the rate is used.

        Raises `ValueError` unless 1 <= step <= batch <= rate.
        """
        self._set(rate, batch, step)
        self._seen = Window(1 + MARGIN_SECONDS, rate)
        self._begun = Window(0.1 + MARGIN_SECONDS, tenth_of(rate, batch))
        self._beat = Beat()
        self.in_flight = 0
        """The attempts that have begun and not ended."""

    def _set(self, rate: int, batch: int, step: int | None) -> None:
        check_pace(rate, batch)
        step = batch if step is None else step
        if not 1 <= step <= batch:
            raise ValueError(f"need 1 <= step <= batch, not {step=} {batch=}")
        self.rate = rate
        self.batch = batch
        self.step = step

    def change(
        self, rate: int, now: float, batch: int | None = None, step: int | None = None
    ) -> None:
        """Pace to another rate from `now` on, of which at most `batch` begin at once.

        After a decrease, the new rate holds in any second that begins later, apart from attempts
        that are in flight now. Without `batch`, the batch stays, but is at most the rate. Raises
        `ValueError` unless 1 <= step <= batch <= rate.
        """
        batch = min(self.batch, rate) if batch is None else batch
        self._set(rate, batch, step)
        self._seen.change(rate, now)
        self._begun.change(tenth_of(rate, batch), now)
        self._beat.change(rate)

    def delay(self, now: float, count: int = 1) -> float:
        """Return the seconds from `now` until `count` more attempts may begin; 0 for now.

        Return infinity if an attempt in flight has to end first.
        """
        count = min(count, self.step)
        opens_at = max(
            self._beat.next, self._seen.opens_at(now, count), self._begun.opens_at(now, count)
        )
        return max(0.0, opens_at - now)

    def begin(self, now: float, wanted: int = 1) -> int:
        """Begin up to `wanted` attempts at `now`; return how many: 0 if it is too early.

        Call it before the first byte is sent. They are in flight until `end` is called.
        """
        late = now - self._beat.next
        if late < 0:
            return 0
        due = self.step + int(min(late, 1.0) * self.rate)
        count = min(wanted, due, self.batch, self._seen.room(now), self._begun.room(now))
        if count <= 0:
            return 0
        self._beat.begin(now, count, self.rate)
        self._begun.begin(count)
        self._begun.end(now)
        self._seen.begin(count)
        self.in_flight += count
        return count

    def end(self, now: float, count: int = 1) -> None:
        """End `count` attempts, in any way: the receiver has seen them by `now`, or never will.

        What a receiver reads after an attempt has timed out is not counted.
        """
        self._seen.end(now, count)
        self.in_flight -= count
