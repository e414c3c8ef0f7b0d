"""The registry of a process, and the metrics that every process has.

All labels are bounded: no customer, order or raw path is a label.
"""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

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


class ProcessMetrics:
    """The metrics of one process, in one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Use a new registry, or the given one of another part of the process."""
        self.registry = _new_registry() if registry is None else registry


def _new_registry() -> CollectorRegistry:
    # The client adds a `_created` series to every counter, which nothing here reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
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
