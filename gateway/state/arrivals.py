"""The orders that arrived at all gateways, second by second, and how many gateways there are."""

import time
from collections import OrderedDict
from typing import NamedTuple

from flashsale.messages.announcements import Arrivals

KEPT_SECONDS = 900
_LATELY_SECONDS = 3.0


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


class OtherGateways:
    """The other gateways that put orders in the queue now. Each worker counts as a gateway."""

    def __init__(self) -> None:
        self._heard_at: dict[str, float] = {}

    def heard(self, name: str) -> None:
        """Note an announcement of orders by another gateway."""
        self._heard_at[name] = time.monotonic()

    def count(self) -> int:
        """Return how many were heard within the last 3 s."""
        since = time.monotonic() - _LATELY_SECONDS
        if any(at < since for at in self._heard_at.values()):
            self._heard_at = {name: at for name, at in self._heard_at.items() if at >= since}
        return len(self._heard_at)
