"""What arrives at all gateways, second by second."""

from collections import OrderedDict
from typing import NamedTuple

from flashsale.messages.announcements import Arrivals

KEPT_SECONDS = 900


class Flow(NamedTuple):
    """Orders that arrived in one second, and what they were answered."""

    arrived: int = 0
    accepted: int = 0
    queue_full: int = 0
    turned_away: int = 0


class Traffic:
    """The last quarter of an hour of every gateway's arrivals, added up."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[int, Flow] = OrderedDict()

    def add(self, of: Arrivals) -> None:
        """Count what one gateway had in one second."""
        before = self.at(of.at)
        flow = Flow(of.arrived, of.accepted, of.queue_full, of.turned_away)
        self._seconds[of.at] = Flow(*(one + other for one, other in zip(before, flow, strict=True)))
        while len(self._seconds) > KEPT_SECONDS:
            self._seconds.popitem(last=False)

    def at(self, second: int) -> Flow:
        """What arrived in the second that ends then, in Unix seconds."""
        return self._seconds.get(second, Flow())
