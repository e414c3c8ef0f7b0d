"""The registry of a process, and the metrics that every process has.

All labels are bounded: no customer, order or raw path is a label.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

from flashsale import __version__

Aggregation = Literal["sum", "min", "max"]
"""How to combine the values of a gauge in several worker processes into one.

The default is `max`: other gauges show something that the workers share, such as the backlog, and
differ only by the time of the latest measurement.
"""

GAUGE_AGGREGATIONS: Mapping[str, Aggregation] = {
    "process_open_fds": "sum",
    "process_resident_memory_bytes": "sum",
    "process_virtual_memory_bytes": "sum",
    "process_start_time_seconds": "min",
}


COUNT_TYPES = ("counter", "histogram")
"""The types of metrics that only grow."""


class GaugeCollector(Collector):
    """A collector that yields gauges only."""


class ProcessRegistry(CollectorRegistry):
    """A registry that can also collect its counts alone, many times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._counting: list[Collector] = []

    def register(self, collector: Collector) -> None:
        """Add a collector. Raises `ValueError` if its metrics are there already."""
        super().register(collector)
        # Gauges would cost the most: those of the sales are as many as the sales.
        if not isinstance(collector, Gauge | GaugeCollector):
            self._counting.append(collector)

    def counts(self) -> Iterator[Metric]:
        """Yield the counters and the histograms."""
        for collector in self._counting:
            yield from (found for found in collector.collect() if found.type in COUNT_TYPES)


class ProcessMetrics:
    """The metrics of one process, in one registry."""

    def __init__(self, registry: ProcessRegistry | None = None) -> None:
        """Use a new registry, or the given one of another part of the process."""
        self.registry = _new_registry() if registry is None else registry


def _new_registry() -> ProcessRegistry:
    # The client adds a `_created` series to every counter, which nothing here reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = ProcessRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    build = Gauge(
        "flashsale_build_info",
        "Always 1, with the version as label",
        ["version"],
        registry=registry,
    )
    build.labels(__version__).set(1)
    return registry
