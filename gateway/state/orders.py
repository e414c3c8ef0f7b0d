"""What this gateway knows of orders, by having taken them or heard of them. It asks nobody."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status, may_follow
from gateway.state.queue_position import Line


class Known(msgspec.Struct, gc=False, eq=False):
    """An order. `number` is its ticket in the line, while it waits; `known_at` is monotonic.

    A struct that the garbage collector leaves alone, as there are hundreds of thousands.
    """

    order_id: OrderId
    sku: str
    quantity: int
    known_at: float
    status: Status = Status.QUEUED
    reason: str | None = None
    number: int = 0
    _decision: Any = None  # an asyncio.Future[None], once somebody waits

    def decision(self) -> asyncio.Future[None]:
        """Ends once the order is decided. Shared by all who wait: shield it."""
        decision: asyncio.Future[None] | None = self._decision
        if decision is None:
            decision = self._decision = asyncio.get_running_loop().create_future()
            if self.status is not Status.QUEUED:
                decision.set_result(None)
        return decision

    def decide(self, status: Status, reason: str | None) -> None:
        """It waits no more; whoever waits for that is told."""
        self.status, self.reason = status, reason
        if self._decision is not None and not self._decision.done():
            self._decision.set_result(None)


class Memory:
    """The latest orders, up to a number and an age; one that waits is not too old at any age."""

    def __init__(self, line: Line, most: int, seconds: float) -> None:
        """Remember at most `most` orders, and decided ones for `seconds`."""
        self._line = line
        self._most = most
        self._seconds = seconds
        # The oldest first. A plain dict that loses its first key again and again takes ever longer
        # to find the next one.
        self._known: OrderedDict[OrderId, Known] = OrderedDict()
        self._waiting: OrderedDict[OrderId, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, order_id: OrderId) -> Known | None:
        """The order, if it is known."""
        return self._known.get(order_id)

    def taken(self, order_id: OrderId, sku: str, quantity: int) -> Known:
        """An order was taken, here or by another gateway. One that is decided stays so."""
        known = self._known.get(order_id)
        if known is None:
            known = self._add(Known(order_id, sku, quantity, time.monotonic()))
            known.number = self._line.join()
            self._waiting[order_id] = known
        return known

    def decided(
        self, order_id: OrderId, status: Status, reason: str | None, sku: str, quantity: int
    ) -> Known:
        """An order was decided. The first decision stands, as in the ledger.

        A failed order is decided after all if an operator has it tried again.
        """
        known = self._known.get(order_id)
        if known is None:
            known = self._add(Known(order_id, sku, quantity, time.monotonic()))
            known.decide(status, reason)
            self._line.leave_unknown()
        elif may_follow(known.status, status):
            if known.status is Status.QUEUED:
                del self._waiting[order_id]
                self._line.leave()
            known.decide(status, reason)
        return known

    def oldest_waiting(self, most: int, than_seconds: float) -> list[OrderId]:
        """Up to `most` orders that wait since more than `than_seconds`."""
        since = time.monotonic() - than_seconds
        oldest: Iterable[Known] = islice(self._waiting.values(), most)
        return [known.order_id for known in oldest if known.known_at < since]

    def _add(self, known: Known) -> Known:
        self._known[known.order_id] = known
        while len(self._known) > self._most or self._is_old(next(iter(self._known.values()))):
            order_id, _ = self._known.popitem(last=False)
            if self._waiting.pop(order_id, None) is not None:
                self._line.forget()
        return known

    def _is_old(self, known: Known) -> bool:
        return (
            known.status is not Status.QUEUED and known.known_at < time.monotonic() - self._seconds
        )
