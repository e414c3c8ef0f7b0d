"""Is it flat? The same phase of every minute, compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from loadtest.bench.soak.plan import SKIPPED

# What may grow with every spike. A spike is 50,000 requests, a quarter of them accepted: a megabyte
# is 20 bytes of each, less than the shortest thing that could be kept of one. Everything else is
# counted, and a leak of one a spike is a slope of one; the rest is for what just ended or began.
BOUNDS: Mapping[str, float] = {
    "rss_mb": 1.0,
    "fds": 0.25,
    "connections": 0.25,
    "series": 0.25,
}
LEAST_SPIKES = 3
"""So many must be left to be compared."""


@dataclass(frozen=True)
class Judged:
    """How something of a process was in the quiet end of each minute, and how it grows."""

    process: str
    what: str
    levels: Sequence[float]
    bound: float | None

    @property
    def slope(self) -> float | None:
        """What it grows by with every spike; None if there were too few of them."""
        return slope(self.levels[SKIPPED:])

    @property
    def flat(self) -> bool:
        """Whether it grows by no more than it may. Shrinking is flat."""
        return self.bound is None or self.slope is None or self.slope <= self.bound


def slope(levels: Sequence[float]) -> float | None:
    """The median of the slopes between any two (Theil and Sen): one odd minute moves it little."""
    if len(levels) < LEAST_SPIKES:
        return None
    return median(
        (levels[later] - levels[earlier]) / (later - earlier)
        for earlier, later in combinations(range(len(levels)), 2)
    )


def levels(
    series: Sequence[tuple[float, float]], starts: Sequence[float], since: float, until: float
) -> list[float]:
    """The median of what was seen from `since` to `until` seconds after each start of a minute."""
    found = []
    for start in starts:
        within = [value for at, value in series if start + since <= at < start + until]
        if within:
            found.append(median(within))
    return found
