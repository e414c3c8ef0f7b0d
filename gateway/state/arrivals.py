"""The orders that arrived at all gateways, second by second."""

from collections import OrderedDict
from typing import NamedTuple

from flashsale.messages.announcements import Arrivals

KEPT_SECONDS = 900


class ArrivalCounts(NamedTuple):
    """Orders that arrived in one second, by their answer."""

    arrived: int = 0
    accepted: int = 0
    queue_full: int = 0
    turned_away: int = 0


class ArrivalsBySecond:
    """The sum of all gateways' arrivals in each second of the last quarter of an hour."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[int, ArrivalCounts] = OrderedDict()

    def add(self, arrivals: Arrivals) -> None:
        """Add one second of one gateway."""
        before = self.at(arrivals.at)
        self._seconds[arrivals.at] = ArrivalCounts(
            before.arrived + arrivals.arrived,
            before.accepted + arrivals.accepted,
            before.queue_full + arrivals.queue_full,
            before.turned_away + arrivals.turned_away,
        )
        while len(self._seconds) > KEPT_SECONDS:
            self._seconds.popitem(last=False)

    def at(self, second: int) -> ArrivalCounts:
        """Return the counts of the second that ends at `second`, in Unix seconds."""
        return self._seconds.get(second, ArrivalCounts())
