"""Rules for the drains, all of them together: acknowledge after the commit, and keep the rate."""

import re
from collections.abc import Callable, Iterable, Sequence

from flashsale.audit.history import Acked, Committed, Released
from flashsale.audit.rules.limits import Limits

_ORDER_ID = re.compile(r"[0-9a-f]{32}\Z")
# Clocks count nanoseconds. A smaller difference is a rounding error.
_WINDOW_SECONDS = 1 - 1e-9

Release = tuple[float, int]
"""The moment of a release or a commit in seconds, and the number of orders."""


class Drains:
    """The recorded releases, commits and acknowledgements of all drains."""

    def __init__(self) -> None:
        self._committed: dict[str, float] = {}
        self._acked: dict[str, float] = {}
        self.releases: list[Release] = []

    def released(self, released: Released) -> None:
        """Record that orders were released to the database."""
        self.releases.append((released.at, released.count))

    def committed(self, committed: Committed) -> None:
        """Record a committed transaction."""
        for order_id in committed.states:
            _keep_first(self._committed, order_id, committed.at)

    def acked(self, acked: Acked) -> None:
        """Record deliveries that are acknowledged from this moment on."""
        for order_id in acked.orders:
            _keep_first(self._acked, order_id, acked.at)

    def acked_early(self) -> list[str]:
        """Return a line for each order that was acknowledged before a drain committed it.

        Ignore ids that are not order ids: such a message could not be decoded, so it has no order.
        """
        found = []
        for order_id, at in self._acked.items():
            committed = self._committed.get(order_id)
            if (committed is None or committed > at) and _ORDER_ID.match(order_id):
                when = "never" if committed is None else f"at {committed:.6f}"
                found.append(f"order {order_id}: acknowledged at {at:.6f}, committed {when}")
        return found

    def over_rate(self, limits: Limits, commits: Sequence[Release]) -> list[str]:
        """Return a line for each second with more orders than the rate.

        Count the recorded releases, and the commits by the clock of the database. The clock of a
        history is another one, so the releases may have the highest rate that ever was in force.
        """
        highest = limits.highest
        found = [
            f"{count} orders in the second from {at:.6f}, limit {highest}"
            for at, count in bursts(self.releases, lambda _: highest)
        ]
        found += [
            f"{count} orders committed in the second from {at:.6f} (Unix time),"
            f" limit {limits.highest_in_second(at)}"
            for at, count in bursts(commits, limits.highest_in_second)
        ]
        return found


def _keep_first(moments: dict[str, float], order_id: str, at: float) -> None:
    known = moments.get(order_id)
    if known is None or at < known:
        moments[order_id] = at


def bursts(releases: Iterable[Release], limit: Callable[[float], int]) -> list[Release]:
    """Return each half-open window of one second with too many orders: start and count.

    `limit` returns how many orders a window may have that starts at a moment.

    If such windows overlap, return only the one with the most orders.
    """
    ordered: Sequence[Release] = sorted(releases)
    found: list[Release] = []
    burst_began = float("-inf")
    total = end = 0
    for at, count in ordered:
        while end < len(ordered) and ordered[end][0] - at < _WINDOW_SECONDS:
            total += ordered[end][1]
            end += 1
        if total > limit(at):
            if at - burst_began >= _WINDOW_SECONDS:
                found.append((at, total))
                burst_began = at
            elif total > found[-1][1]:
                found[-1] = at, total
        total -= count
    return found
