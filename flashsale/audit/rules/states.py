"""What an order was said to be, at any time by anyone: its state never goes back."""

from collections.abc import Collection, Iterable, Iterator
from operator import itemgetter
from sys import intern

from flashsale.audit.history import Committed, Looked
from flashsale.domain.order_states import RANK, Status
from flashsale.ledger.holdings import Decided

_FOUND, _NOT_FOUND = 200, 404
_NOWHERE = "nowhere"
_QUEUED, _FAILED = Status.QUEUED.value, Status.FAILED.value
_STEPS = {_NOWHERE: 0, **{status.value: 1 + rank for status, rank in RANK.items()}}

_State = tuple[float, float, str]
"""Moments of question and answer, and the state."""


class States:
    """What was said of orders: by gateways to shoppers, and by the transactions of drains.

    An operator may have a failed order tried again. So `failed` may be followed by another
    decision, but only where a drain is seen to have recorded it: nobody else may have made it up.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], list[_State]] = {}
        self._final: dict[str, str] = {}
        self._told_failed: dict[str, str] = {}
        self._drain_failed: set[str] = set()
        self._differing: list[str] = []

    def looked(self, looked: Looked) -> None:
        """A shopper asked a gateway. What is not an answer to that says nothing."""
        if looked.status == _NOT_FOUND:
            state = _NOWHERE
        elif looked.status == _FOUND:
            state = intern(looked.state)
        else:
            return
        by = intern(looked.by)
        told = looked.at, looked.at + looked.seconds, state
        self._told.setdefault((by, looked.order_id), []).append(told)
        if state == _FAILED:
            self._told_failed[looked.order_id] = by
        else:
            self._decided(looked.order_id, state, by)

    def committed(self, committed: Committed) -> None:
        """A drain decided orders."""
        for order_id, state in committed.states.items():
            if state == _FAILED:
                self._drain_failed.add(order_id)
            else:
                self._decided(order_id, intern(state), f"the drain {committed.process}")

    def _decided(self, order_id: str, state: str, by: str) -> None:
        if _STEPS.get(state, 0) <= _STEPS[_FAILED]:
            return
        known = self._final.setdefault(order_id, state)
        if known != state:
            self._differing.append(f"order {order_id}: {state} by {by}, was {known}")

    def went_back(self, orders: Iterable[Decided], unaccepted: Collection[str]) -> list[str]:
        """Orders whose state went back, or that had two.

        `unaccepted` are ids that shoppers were told, though not with a 202: even these must be in
        the ledger once they were said to be decided.
        """
        found = list(self._differing)
        for (by, order_id), told in self._told.items():
            if len(told) > 1:
                found += [f"order {order_id}: {words} by {by}" for words in _steps_back(told)]
        in_ledger = {order.id: order.status for order in orders}
        found += [
            f"order {order_id}: {status} in the ledger, was {final}"
            for order_id, status in in_ledger.items()
            if (final := self._final.get(order_id)) is not None and final != status
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
    """An answer is a step back from one that had come before its question was asked."""
    ended = sorted(told, key=itemgetter(1))
    furthest, before = _NOWHERE, 0
    for at, _, state in sorted(told):
        while before < len(ended) and ended[before][1] < at:
            if _STEPS.get(ended[before][2], 0) > _STEPS[furthest]:
                furthest = ended[before][2]
            before += 1
        if _STEPS.get(state, 0) < _STEPS[furthest] and furthest != _QUEUED:
            yield f"{state} at {at:.3f}, after {furthest}"
