"""How far the clock of this gateway is from that of the drain, as far as announcements tell."""

import math

_SPAN_SECONDS = 10
_SPANS = 3


class ClockSkew:
    """The skew in seconds: more than 0 if this gateway's clock is ahead of the drain's.

    The drain announces its time. An announcement takes a while, and by that while this clock seems
    to be ahead. So the least skew of the last half a minute is nearest to the truth: too high by
    what the fastest of its announcements took, some milliseconds as a rule.
    """

    def __init__(self) -> None:
        self._least: dict[int, float] = {}
        """The least skew by span of ten seconds."""

    def heard(self, told_at: float, heard_at: float, now: float) -> None:
        """Note an announcement of `told_at` by the drain's clock, heard at `heard_at` by ours.

        Both are Unix times. `now` is in seconds on a monotonic clock.
        """
        span = int(now // _SPAN_SECONDS)
        self._least = {at: skew for at, skew in self._least.items() if at > span - _SPANS}
        self._least[span] = min(self._least.get(span, math.inf), heard_at - told_at)

    def seconds(self, now: float) -> float | None:
        """Return the skew; None if the drain told nothing in the last 20 to 30 s."""
        oldest = int(now // _SPAN_SECONDS) - _SPANS
        return min((skew for at, skew in self._least.items() if at > oldest), default=None)
