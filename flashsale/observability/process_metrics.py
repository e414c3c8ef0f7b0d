"""The registry of a process, and what every process says of itself.

Labels are bounded everywhere: no customer, order or raw path is ever one.
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

Joined = Literal["sum", "min", "max"]
"""How the values of a gauge in several worker processes become one value.

`max` is the rule for all gauges without one: they show something that the workers share, such as
the backlog, and differ by who looked last.
"""

JOINED_GAUGES: Mapping[str, Joined] = {
    "process_open_fds": "sum",
    "process_resident_memory_bytes": "sum",
    "process_virtual_memory_bytes": "sum",
    "process_start_time_seconds": "min",
}


class ProcessMetrics:
    """The metrics of one process, in one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Count in a registry of its own, or in one that another part of the process has."""
        self.registry = _new_registry() if registry is None else registry


def _new_registry() -> CollectorRegistry:
    # Else every counter has a second series, which nothing here reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    build = Gauge("flashsale_build_info", "1, of this version", ["version"], registry=registry)
    build.labels(__version__).set(1)
    return registry
