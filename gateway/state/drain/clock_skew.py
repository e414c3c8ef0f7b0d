"""How far the clock of this gateway is from that of the drain, as far as announcements tell."""

from gateway.state.drain.recent_least import RecentLeast


class ClockSkew:
    """The skew in seconds: more than 0 if this gateway's clock is ahead of the drain's.

    The drain announces its time. An announcement takes a while, and by that while this clock seems
    to be ahead. So the least skew of the last half a minute is nearest to the truth: too high by
    what the fastest of its announcements took, some milliseconds as a rule.
    """

    def __init__(self) -> None:
        self._skews = RecentLeast(10, 3)

    def heard(self, told_at: float, heard_at: float, now: float) -> None:
        """Note an announcement of `told_at` by the drain's clock, heard at `heard_at` by ours.

        Both are Unix times. `now` is in seconds on a monotonic clock.
        """
        self._skews.note(heard_at - told_at, now)

    def seconds(self, now: float) -> float | None:
        """Return the skew; None if the drain told nothing in the last 20 to 30 s."""
        return self._skews.least(now)
