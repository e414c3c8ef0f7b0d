"""The spike of both runs: the same number of shoppers, each at the same moment."""

from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from loadtest.demo.sale import Spike
from loadtest.load.file_limit import allow_many_connections
from loadtest.load.open_loop import Attempt, customers, open_loop, orders_of
from loadtest.load.shapes import MOST_CONNECTIONS, SpikeShape


@dataclass(frozen=True)
class Shopping:
    """What the shoppers did: the attempts by customer. Each customer sent one order, once."""

    attempts: dict[str, Attempt]

    @property
    def began_at(self) -> float:
        """The moment when the first order was due, in seconds of the monotonic clock."""
        return min(attempt.due for attempt in self.attempts.values())


def shape_of(spike: Spike) -> SpikeShape:
    """Return the shape of the load. A new connection is opened while all others are busy."""
    connections = min(MOST_CONNECTIONS, allow_many_connections())
    return SpikeShape(spike.rate, spike.seconds, connections=connections)


def shop(url: str, sku: str, shape: SpikeShape) -> Shopping:
    """Send the orders of the spike, and return how they were answered.

    The shoppers do not wait for each other, so they come at the same rate however slow the answers
    are. None comes back. Raises `OSError` if nothing listens at the URL.
    """
    names: Sequence[str] = customers(len(shape.schedule()))
    attempts: list[Attempt] = []
    uvloop.run(open_loop(url, shape, orders_of(url, sku, names), attempts))
    return Shopping(dict(zip(names, attempts, strict=False)))
