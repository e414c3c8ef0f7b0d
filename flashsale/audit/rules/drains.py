"""What drains did, all of them together: acknowledged after the commit, and kept the rate."""

import re
from collections.abc import Iterable, Sequence

from flashsale.audit.history import Acked, Committed, Released

_ORDER_ID = re.compile(r"[0-9a-f]{32}\Z")
# Clocks count nanoseconds; what is less is the rounding of a difference.
_WINDOW_SECONDS = 1 - 1e-9

Release = tuple[float, int]
"""When, and how many orders."""


class Drains:
    """What the drains of a sale were seen to do."""

    def __init__(self) -> None:
        self._committed: dict[str, float] = {}
        self._acked: dict[str, float] = {}
        self.releases: list[Release] = []

    def released(self, released: Released) -> None:
        """Orders went to the database."""
        self.releases.append((released.at, released.count))

    def committed(self, committed: Committed) -> None:
        """A transaction was committed."""
        for order_id in committed.states:
            _keep_first(self._committed, order_id, committed.at)

    def acked(self, acked: Acked) -> None:
        """Deliveries were about to be acknowledged."""
        for order_id in acked.orders:
            _keep_first(self._acked, order_id, acked.at)

    def acked_early(self) -> list[str]:
        """Orders that were acknowledged before any drain had them committed.

        What bears no order id could not be read, and has no order to be committed.
        """
        found = []
        for order_id, at in self._acked.items():
            committed = self._committed.get(order_id)
            if (committed is None or committed > at) and _ORDER_ID.match(order_id):
                when = "never" if committed is None else f"at {committed:.6f}"
                found.append(f"order {order_id}: acknowledged at {at:.6f}, committed {when}")
        return found

    def over_rate(self, rate: int) -> list[str]:
        """Seconds in which more than `rate` orders went to the database."""
        return [
            f"{count} orders in the second from {at:.6f}, limit {rate}"
            for at, count in bursts(self.releases, rate)
        ]


def _keep_first(moments: dict[str, float], order_id: str, at: float) -> None:
    known = moments.get(order_id)
    if known is None or at < known:
        moments[order_id] = at


def bursts(releases: Iterable[Release], rate: int) -> list[Release]:
    """Where more than `rate` went in a half-open window of one second: its begin, and how many.

    Of windows that overlap, the worst.
    """
    ordered: Sequence[Release] = sorted(releases)
    found: list[Release] = []
    burst_began = float("-inf")
    total = end = 0
    for at, count in ordered:
        while end < len(ordered) and ordered[end][0] - at < _WINDOW_SECONDS:
            total += ordered[end][1]
            end += 1
        if total > rate:
            if at - burst_began >= _WINDOW_SECONDS:
                found.append((at, total))
                burst_began = at
            elif total > found[-1][1]:
                found[-1] = at, total
        total -= count
    return found
