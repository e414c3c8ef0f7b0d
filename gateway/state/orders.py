"""The orders that this gateway knows: it took them, or another process announced them."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status, may_follow
from flashsale.messages.announcements import Decision
from gateway.state.queue_position import QueuePosition


class KnownOrder(msgspec.Struct, gc=False, eq=False):
    """An order. `number` is its ticket in the queue while it waits; `known_at` is monotonic.

    `customer_id` is None if nobody said whose order it is: then only the ledger knows.

    The garbage collector does not track it, as there may be hundreds of thousands.
    """

    order_id: OrderId
    sku: str
    quantity: int
    known_at: float
    status: Status = Status.QUEUED
    reason: str | None = None
    remaining: int | None = None
    number: int = 0
    customer_id: str | None = None
    _decision: Any = None  # an asyncio.Future[None], once somebody waits

    def decision(self) -> asyncio.Future[None]:
        """Return a future that ends once the order is decided. All callers share it: shield it."""
        decision: asyncio.Future[None] | None = self._decision
        if decision is None:
            decision = self._decision = asyncio.get_running_loop().create_future()
            if self.status is not Status.QUEUED:
                decision.set_result(None)
        return decision

    def decide(self, decision: Decision) -> None:
        """Set the state, and wake everybody who waits for it.

        What was decided counts, not what a gateway took: a key may have come with two orders, and
        the first of them is the order. A failed order may have no contents.
        """
        self.status, self.reason = decision.status, decision.reason
        self.remaining = decision.remaining
        if decision.sku:
            self.sku, self.quantity = decision.sku, decision.quantity
        if decision.customer_id is not None:
            self.customer_id = decision.customer_id
        if self._decision is not None and not self._decision.done():
            self._decision.set_result(None)


class KnownOrders:
    """The latest orders, up to a number and an age; orders that wait are kept at any age."""

    def __init__(self, queue_position: QueuePosition, most: int, seconds: float) -> None:
        """Remember at most `most` orders, and decided ones for `seconds`."""
        self._queue_position = queue_position
        self._most = most
        self._seconds = seconds
        # The oldest first. A plain dict that loses its first key again and again takes ever longer
        # to find the next one.
        self._known: OrderedDict[OrderId, KnownOrder] = OrderedDict()
        self._waiting: OrderedDict[OrderId, KnownOrder] = OrderedDict()
        self.complete_since = math.inf
        """Every order that was announced after this moment is known; monotonic, in seconds.

        It is infinite while no announcement is heard, and moves on when an order is forgotten.
        """

    def __len__(self) -> int:
        return len(self._known)

    def get(self, order_id: OrderId) -> KnownOrder | None:
        """Return the order if it is known."""
        return self._known.get(order_id)

    def add_taken(
        self, order_id: OrderId, sku: str, quantity: int, customer_id: str | None = None
    ) -> KnownOrder:
        """Remember an order that some gateway took, and return it. A decided one stays decided."""
        order = self._known.get(order_id)
        if order is None:
            order = self._add(KnownOrder(order_id, sku, quantity, time.monotonic()))
            order.number = self._queue_position.join()
            order.customer_id = customer_id
            self._waiting[order_id] = order
        return order

    def add_decided(self, decision: Decision) -> KnownOrder:
        """Remember a decision, and return the order. The first decision stands, as in the ledger.

        A failed order may be decided later, if an operator replays it.
        """
        order_id = OrderId(decision.id)
        order = self._known.get(order_id)
        if order is None:
            order = self._add(
                KnownOrder(order_id, decision.sku, decision.quantity, time.monotonic())
            )
            order.decide(decision)
            self._queue_position.leave_unannounced()
        elif may_follow(order.status, decision.status):
            if order.status is Status.QUEUED:
                del self._waiting[order_id]
                self._queue_position.leave()
            order.decide(decision)
        elif order.customer_id is None:
            order.customer_id = decision.customer_id
        return order

    def hear(self) -> None:
        """Note that announcements are heard from now on; earlier ones may be missing."""
        self.complete_since = time.monotonic()

    def stop_hearing(self) -> None:
        """Note that announcements may be missed from now on."""
        self.complete_since = math.inf

    def oldest_waiting(self, most: int, than_seconds: float) -> list[OrderId]:
        """Return up to `most` orders that have waited for more than `than_seconds`."""
        since = time.monotonic() - than_seconds
        oldest: Iterable[KnownOrder] = islice(self._waiting.values(), most)
        return [order.order_id for order in oldest if order.known_at < since]

    def _add(self, order: KnownOrder) -> KnownOrder:
        self._known[order.order_id] = order
        while len(self._known) > self._most or self._is_old(next(iter(self._known.values()))):
            order_id, forgotten = self._known.popitem(last=False)
            self.complete_since = max(self.complete_since, forgotten.known_at)
            if self._waiting.pop(order_id, None) is not None:
                self._queue_position.forget()
        return order

    def _is_old(self, order: KnownOrder) -> bool:
        return (
            order.status is not Status.QUEUED and order.known_at < time.monotonic() - self._seconds
        )
