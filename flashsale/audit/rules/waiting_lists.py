"""The rule of waiting lists: nobody in line is passed over, as the drains recorded it.

A drain records a commit after it. So a commit came after the latest release that the same process
recorded before, and the rule only counts what is certain.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from flashsale.audit.history import Committed, Released
from flashsale.domain.order_states import Status
from flashsale.ledger.holdings import Decided

_WAITS, _HELD = Status.WAITLISTED.value, Status.HELD.value
_REJECTED, _CANCELLED = Status.REJECTED.value, Status.CANCELLED.value


@dataclass(frozen=True, slots=True)
class _Recorded:
    at: float
    process: int
    state: str


@dataclass(frozen=True, slots=True)
class _Served:
    """An order with the moments between which it got its hold."""

    order: Decided
    after: float
    by: float


class WaitingLists:
    """The orders that drains put in a waiting list, and those that they gave a hold."""

    def __init__(self) -> None:
        self._released: defaultdict[int, list[float]] = defaultdict(list)
        self._states: defaultdict[str, list[_Recorded]] = defaultdict(list)

    def released(self, released: Released) -> None:
        """Record a release: the commits that a process recorded later came after it."""
        self._released[released.process].append(released.at)

    def committed(self, committed: Committed) -> None:
        """Record the orders that wait or waited, and those that are held."""
        for order_id, state in committed.states.items():
            if state in (_WAITS, _HELD) or order_id in self._states:
                recorded = _Recorded(committed.at, committed.process, state)
                self._states[order_id].append(recorded)

    def passed_over(self, orders: Iterable[Decided]) -> list[str]:
        """Return a line for each order that got a hold before one that was ahead of it in line."""
        for releases in self._released.values():
            releases.sort()
        by_sku: defaultdict[str, list[Decided]] = defaultdict(list)
        for order in orders:
            if order.id in self._states or order.status == _CANCELLED:
                by_sku[order.sku].append(order)
        return [line for orders in by_sku.values() for line in self._of_sale(orders)]

    def _of_sale(self, orders: Sequence[Decided]) -> Iterator[str]:
        # A new order may have the hold of an order of the same customer that it replaces.
        replaced = {order.customer for order in orders if order.status == _CANCELLED}
        in_line: list[_Served] = []
        new: list[_Served] = []
        waits: list[tuple[float, float, Decided]] = []
        for order in orders:
            recorded = sorted(self._states.get(order.id, ()), key=attrgetter("at"))
            if recorded and recorded[0].state == _WAITS:
                waits.append((recorded[0].at, self._left(order, recorded), order))
            held = next((one for one in recorded if one.state == _HELD), None)
            if held is None:
                continue
            served = _Served(order, self._after(held), held.at)
            if order.place is not None:
                in_line.append(served)
            elif order.customer not in replaced:
                new.append(served)
        yield from _out_of_turn(in_line)
        yield from _past_the_line(new, waits)

    def _after(self, recorded: _Recorded) -> float:
        """Return a moment that was before this commit."""
        releases = self._released[recorded.process]
        at = bisect_left(releases, recorded.at)
        return releases[at - 1] if at else -math.inf

    def _left(self, order: Decided, recorded: Sequence[_Recorded]) -> float:
        """Return a moment until which an order was in line for sure."""
        if order.status == _WAITS:
            return math.inf
        later = next((one for one in recorded if one.state != _WAITS), None)
        if later is None or later.state not in (_HELD, _REJECTED, _CANCELLED):
            return -math.inf  # a gateway cancelled it, or a drain died before it recorded the end
        return self._after(later)


def _out_of_turn(in_line: list[_Served]) -> Iterator[str]:
    """Compare the orders of a waiting list with those behind them."""
    in_line.sort(key=lambda served: served.order.place or 0)
    first: _Served | None = None
    for served in reversed(in_line):
        if (
            first is not None
            and first.by < served.after
            and first.order.place != served.order.place
        ):
            yield (
                f"order {served.order.id}: number {served.order.place} in line was held after"
                f" {served.after:.6f}, and number {first.order.place} at {first.by:.6f}"
            )
        if first is None or served.by < first.by:
            first = served


def _past_the_line(new: list[_Served], waits: list[tuple[float, float, Decided]]) -> Iterator[str]:
    """Find new orders that got a hold while an order waited all the time."""
    waits.sort(key=lambda wait: wait[0])
    new.sort(key=attrgetter("after"))
    longest: tuple[float, Decided] | None = None
    begun = 0
    for served in new:
        while begun < len(waits) and waits[begun][0] < served.after:
            _, left, order = waits[begun]
            if longest is None or left > longest[0]:
                longest = left, order
            begun += 1
        if longest is not None and served.by < longest[0]:
            yield (
                f"order {longest[1].id}: waited in line while the new order {served.order.id} got a"
                f" hold at {served.by:.6f}"
            )
