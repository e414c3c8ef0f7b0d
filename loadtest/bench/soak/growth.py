"""Detect growth of a resource by comparing the same phase of every minute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from loadtest.bench.soak.plan import SKIPPED

# The growth that is allowed with each spike. A spike is 50,000 requests, a quarter accepted. A
# megabyte is 20 bytes for each request, less than any leaked object. The other resources are counts
# where a leak of one a spike is a slope of 1; 0.25 allows for ones that just opened or closed.
BOUNDS: Mapping[str, float] = {
    "rss_mb": 1.0,
    "fds": 0.25,
    "connections": 0.25,
    "series": 0.25,
}
LEAST_SPIKES = 3
"""The fewest spikes that are enough for a comparison."""


@dataclass(frozen=True)
class Trend:
    """The level of a process's resource at the quiet end of each minute, and its growth."""

    process: str
    what: str
    levels: Sequence[float]
    bound: float | None

    @property
    def slope(self) -> float | None:
        """The growth with each spike; None if there were too few spikes."""
        return slope(self.levels[SKIPPED:])

    @property
    def flat(self) -> bool:
        """Whether the growth is within its bound. A shrinking resource is flat."""
        return self.bound is None or self.slope is None or self.slope <= self.bound


def slope(levels: Sequence[float]) -> float | None:
    """Return the Theil-Sen slope, which one outlier changes little; None for too few levels."""
    if len(levels) < LEAST_SPIKES:
        return None
    return median(
        (levels[later] - levels[earlier]) / (later - earlier)
        for earlier, later in combinations(range(len(levels)), 2)
    )


def levels(
    series: Sequence[tuple[float, float]], starts: Sequence[float], since: float, until: float
) -> list[float]:
    """Return the median value from `since` to `until` seconds after each start of a minute."""
    found = []
    for start in starts:
        within = [value for at, value in series if start + since <= at < start + until]
        if within:
            found.append(median(within))
    return found
