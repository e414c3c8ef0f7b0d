"""Counters and histograms without locks, as a lock for each count costs too much in a spike.

One event loop counts and Prometheus reads in another thread. A read during a count may miss that
count.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str | int, ...]


class FastCounter(Collector):
    """A counter with labels and without a lock."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        """Count by the values of these labels, whose number must be bounded."""
        self._name = name
        self._help = help_text
        self._labels = labels
        self._counts: dict[Labels, int] = {}
        registry.register(self)

    def add(self, *values: str | int) -> None:
        """Add one to the count of these label values."""
        self._counts[values] = self._counts.get(values, 0) + 1

    def counts(self) -> dict[Labels, int]:
        """Return the counts by label values."""
        return dict(self._counts)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for a scrape."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for values, count in self.counts().items():
            family.add_metric([str(value) for value in values], count)
        yield family


class FastHistogram(Collector):
    """A histogram of seconds without a lock."""

    def __init__(
        self, name: str, help_text: str, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        """Count into buckets with these upper bounds in seconds, in ascending order."""
        self._name = name
        self._help = help_text
        self._bounds = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, seconds: float) -> None:
        """Add an observation of so many seconds."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for a scrape."""
        total = 0
        buckets = []
        for bound, count in zip((*self._bounds, float("inf")), tuple(self._counts), strict=True):
            total += count
            buckets.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]
        yield HistogramMetricFamily(self._name, self._help, buckets=buckets, sum_value=self._sum)
