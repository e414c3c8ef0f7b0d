"""The minute that a long run repeats: calm, a spike, calm again."""

from collections.abc import Iterator
from dataclasses import dataclass

SKIPPED = 2
"""Spikes before flatness is judged: caches and memories of a stated size fill in them."""


@dataclass(frozen=True)
class Plan:
    """How long, and what a minute is like. Times are seconds from its start, rates orders/s."""

    minutes: int = 10
    minute: float = 60.0
    calm_rate: float = 50.0
    spike_rate: float = 5_000.0
    spike_from: float = 10.0
    spike_until: float = 20.0
    # All that a spike left behind is done by then.
    quiet_from: float = 45.0
    stock: int = 12_000
    drain_rate: int = 2_000
    queue_max_length: int = 2_000
    # Full before flatness is judged: what a gateway remembers of orders is no leak.
    status_orders: int = 10_000

    def schedule(self) -> Iterator[float]:
        """When the orders of a minute are due. The last seconds are for their answers."""
        moment = 0.0
        while moment < self.minute - 2:
            yield moment
            in_spike = self.spike_from <= moment < self.spike_until
            moment += 1 / (self.spike_rate if in_spike else self.calm_rate)
