"""The least of the values that were noted in the last seconds."""

import math


class RecentLeast:
    """Keeps the least value of each of the latest spans of time, and nothing else.

    A time that is announced takes a while to arrive, so the least difference to it is nearest to
    the truth.
    """

    def __init__(self, span_seconds: int, spans: int) -> None:
        """Look back over `spans` spans of `span_seconds`, of which the latest is not over."""
        self._span_seconds = span_seconds
        self._spans = spans
        self._least: dict[int, float] = {}

    def note(self, value: float, now: float) -> None:
        """Note a value at `now`, in seconds on a monotonic clock."""
        span = self._span(now)
        self._least = {at: least for at, least in self._least.items() if at > span - self._spans}
        self._least[span] = min(self._least.get(span, math.inf), value)

    def least(self, now: float) -> float | None:
        """Return the least of the spans before `now`; None if nothing was noted in them."""
        oldest = self._span(now) - self._spans
        return min((least for at, least in self._least.items() if at > oldest), default=None)

    def _span(self, now: float) -> int:
        return int(now // self._span_seconds)
