"""The minute that a soak test repeats: calm, a spike, calm again."""

from collections.abc import Iterator
from dataclasses import dataclass

SKIPPED = 2
"""The spikes that are not judged, in which caches of a bounded size fill."""


@dataclass(frozen=True)
class Plan:
    """The number of minutes, and the load in each of them.

    Times are seconds from the start of the minute, rates are orders a second.
    """

    minutes: int = 10
    minute: float = 60.0
    calm_rate: float = 50.0
    spike_rate: float = 5_000.0
    spike_from: float = 10.0
    spike_until: float = 20.0
    # By then all work that a spike left behind is done.
    quiet_from: float = 45.0
    stock: int = 12_000
    drain_rate: int = 2_000
    queue_max_length: int = 2_000
    # Small enough that the gateway's memory of orders is full before growth is judged.
    status_orders: int = 10_000
    # Orders a second of a client. All come once, but for the greedy one.
    client_rate: float = 0.1
    # Full early, too.
    client_table: int = 10_000

    def schedule(self) -> Iterator[float]:
        """Yield the due times of a minute's orders. The last two seconds are for answers."""
        moment = 0.0
        while moment < self.minute - 2:
            yield moment
            in_spike = self.spike_from <= moment < self.spike_until
            moment += 1 / (self.spike_rate if in_spike else self.calm_rate)
