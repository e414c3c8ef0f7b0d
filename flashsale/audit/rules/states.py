"""Rule for states: no two sources disagree on an order, and its state never goes back."""

from collections.abc import Collection, Iterable, Iterator
from operator import itemgetter
from sys import intern

from flashsale.audit.history import Committed, StatusPoll
from flashsale.domain.order_states import RANK, Status, may_become
from flashsale.ledger.holdings import Decided

_FOUND, _NOT_FOUND = 200, 404
_NOWHERE = "nowhere"
_QUEUED, _FAILED = Status.QUEUED.value, Status.FAILED.value
_DECISIONS = {status.value for status in Status} - {_QUEUED, _FAILED}
_STEPS = {_NOWHERE: 0, **{status.value: 1 + rank for status, rank in RANK.items()}}

_State = tuple[float, float, str]
"""The moments of the request and of its answer, in seconds, and the state."""


class States:
    """The states of orders, as gateways told shoppers and as drains committed them.

    An operator may replay a failed order. So another decision may follow `failed`, but only if a
    drain recorded the failure.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], list[_State]] = {}
        self._final: dict[str, str] = {}
        self._told_failed: dict[str, str] = {}
        self._drain_failed: set[str] = set()
        self._differing: list[str] = []

    def polled(self, poll: StatusPoll) -> None:
        """Record the answer to a status poll. Ignore statuses other than 200 and 404."""
        if poll.status == _NOT_FOUND:
            state = _NOWHERE
        elif poll.status == _FOUND:
            state = intern(poll.state)
        else:
            return
        by = intern(poll.by)
        told = poll.at, poll.at + poll.seconds, state
        self._told.setdefault((by, poll.order_id), []).append(told)
        if state == _FAILED:
            self._told_failed[poll.order_id] = by
        else:
            self._decided(poll.order_id, state, by)

    def committed(self, committed: Committed) -> None:
        """Record the orders that a drain decided."""
        for order_id, state in committed.states.items():
            if state == _FAILED:
                self._drain_failed.add(order_id)
            else:
                self._decided(order_id, intern(state), f"the drain {committed.process}")

    def _decided(self, order_id: str, state: str, by: str) -> None:
        if state not in _DECISIONS:
            return
        known = self._final.setdefault(order_id, state)
        if known == state or may_become(Status(state), Status(known)):
            return  # an earlier state of the same order, as somebody knew it then
        if may_become(Status(known), Status(state)):
            self._final[order_id] = state
        else:
            self._differing.append(f"order {order_id}: {state} by {by}, was {known}")

    def went_back(self, orders: Iterable[Decided], unaccepted: Collection[str]) -> list[str]:
        """Return a line for each order whose state went back or has two values.

        `unaccepted` are ids that shoppers received, but not with a 202. Even these must be in the
        ledger once a gateway or a drain reported them as decided.
        """
        found = list(self._differing)
        for (by, order_id), told in self._told.items():
            if len(told) > 1:
                found += [f"order {order_id}: {words} by {by}" for words in _steps_back(told)]
        in_ledger = {order.id: order.status for order in orders}
        found += [
            f"order {order_id}: {status} in the ledger, was {final}"
            for order_id, status in in_ledger.items()
            if (final := self._final.get(order_id)) is not None
            and final != status
            and not may_become(Status(final), Status(status))
        ]
        for order_id, by in self._told_failed.items():
            now = in_ledger.get(order_id) or self._final.get(order_id) or _FAILED
            if now != _FAILED and order_id not in self._drain_failed:
                found.append(f"order {order_id}: failed by {by}, is {now}")
        found += [
            f"order {order_id}: not in the ledger, was {self._final[order_id]}"
            for order_id in unaccepted
            if order_id in self._final and order_id not in in_ledger
        ]
        return found


def _steps_back(told: list[_State]) -> Iterator[str]:
    """Yield each state that is behind one whose answer came before this request was sent."""
    ended = sorted(told, key=itemgetter(1))
    furthest, before = _NOWHERE, 0
    for at, _, state in sorted(told):
        while before < len(ended) and ended[before][1] < at:
            if _STEPS.get(ended[before][2], 0) > _STEPS[furthest]:
                furthest = ended[before][2]
            before += 1
        if _STEPS.get(state, 0) < _STEPS[furthest] and furthest != _QUEUED:
            yield f"{state} at {at:.3f}, after {furthest}"
