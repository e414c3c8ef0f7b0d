"""The orders that this gateway knows: it took them, or another process announced them."""

import asyncio
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

import msgspec

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import (
    DELIVERY_TRANSITIONS,
    OPEN_IN_LEDGER,
    DeliveryState,
    Status,
    may_become,
)
from flashsale.messages.announcements import Decision, Taken
from gateway.state.early_moves import EarlyMoves
from gateway.state.open_orders import OpenOrders
from gateway.state.queue_position import QueuePosition

_PLAIN = (Status.CONFIRMED, Status.REJECTED)
"""Nothing follows these decisions of an order that is not delivered, but a cancellation."""


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
    order_ref: str | None = None
    delivery: DeliveryState | None = None
    expires_at: float | None = None
    place: int | None = None
    extended: bool = False
    _change: Any = None  # an asyncio.Future[None], while somebody waits

    def change(self) -> asyncio.Future[None]:
        """Return a future that ends when the order changes. All callers share it: shield it.

        It also ends when the order is forgotten: look it up again.
        """
        change: asyncio.Future[None] | None = self._change
        if change is None:
            change = self._change = asyncio.get_running_loop().create_future()
        return change

    def wake(self) -> None:
        """Wake everybody who waits for a change."""
        change, self._change = self._change, None
        if change is not None and not change.done():
            change.set_result(None)

    def decide(self, decision: Decision) -> None:
        """Set the state, and wake everybody who waits for it.

        What was decided counts, not what a gateway took: a key may have come with two orders, and
        the first of them is the order. A failed order may have no contents.
        """
        self.status, self.reason = decision.status, decision.reason
        self.number = 0
        self.remaining = decision.remaining
        self.order_ref, self.delivery = decision.order_ref, decision.delivery
        self.expires_at, self.place = decision.expires_at, decision.place
        self.extended = decision.extended
        if decision.sku:
            self.sku, self.quantity = sys.intern(decision.sku), decision.quantity
        if decision.customer_id is not None:
            self.customer_id = decision.customer_id
        self.wake()

    def note_hold(self, decision: Decision) -> None:
        """Set the end of a hold that was extended, and wake everybody who waits."""
        if self.status is decision.status is Status.HELD and decision.extended > self.extended:
            self.expires_at, self.extended = decision.expires_at, True
            self.wake()

    def note_delivery(self, decision: Decision) -> None:
        """Set the state of the delivery, unless what is known is newer.

        Announcements and looked-up outcomes may come in any order.
        """
        told = decision.delivery
        if self.delivery is not None and told in DELIVERY_TRANSITIONS[self.delivery]:
            self.order_ref, self.delivery = decision.order_ref, told


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
        self._undelivered: OrderedDict[OrderId, KnownOrder] = OrderedDict()
        self._early = EarlyMoves()
        self.open = OpenOrders()
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
            now = time.monotonic()
            # One string for all orders of a sale; each message brings another.
            order = self._known[order_id] = self._waiting[order_id] = KnownOrder(
                order_id, sys.intern(sku), quantity, now, customer_id=customer_id
            )
            order.number = self._queue_position.join()
            self._forget_old(now)
        return order

    def add_all_taken(self, taken: Iterable[Taken]) -> None:
        """Remember orders that another gateway took, in its order: `add_taken` for each."""
        known, waiting, join = self._known, self._waiting, self._queue_position.join
        now = time.monotonic()
        for one in taken:
            order_id = OrderId(one.id)
            if order_id not in known:
                known[order_id] = waiting[order_id] = KnownOrder(
                    order_id,
                    sys.intern(one.sku),
                    one.quantity,
                    now,
                    number=join(),
                    customer_id=one.customer_id,
                )
        self._forget_old(now)

    def is_decided(self, order_id: str) -> bool:
        """Return whether the order is known as decided."""
        order = self._known.get(OrderId(order_id))
        return order is not None and order.status is not Status.QUEUED

    def add_decided(self, decision: Decision) -> KnownOrder:
        """Remember a decision, and return the order. Its state never goes back.

        A failed order may be decided later, if an operator replays it.
        """
        order_id = OrderId(decision.id)
        order = self._known.get(order_id)
        if order is None:
            now = time.monotonic()
            order = self._known[order_id] = KnownOrder(
                order_id, decision.sku, decision.quantity, now
            )
            order.decide(decision)
            self._queue_position.leave_unannounced()
            self._forget_old(now)
        elif may_become(order.status, decision.status):
            if order.status is Status.QUEUED:
                del self._waiting[order_id]
                self._queue_position.leave()
            order.decide(decision)
        else:
            if order.delivery is not None:
                order.note_delivery(decision)
            order.note_hold(decision)
            if order.customer_id is None:
                order.customer_id = decision.customer_id
        self._note_undelivered(order)
        self.open.note(order)
        if order_id in self._early:
            self.add_moved(self._early.pop(order_id))
        return order

    def add_all_decided(self, decisions: Iterable[Decision]) -> int:
        """Remember a batch: `add_decided` for each.

        Return how many of them are decisions, and not the news of an earlier one's delivery.
        """
        known, waiting, early = self._known, self._waiting, self._early
        served = others = 0
        for decision in decisions:
            order = known.get(OrderId(decision.id))
            if (
                order is not None
                and order.status is Status.QUEUED
                and decision.status in _PLAIN
                and decision.delivery is None
                and decision.id not in early
            ):
                del waiting[order.order_id]
                order.decide(decision)
                served += 1
            else:
                others += decision.delivery is None or not self.is_decided(decision.id)
                self.add_decided(decision)
        self._queue_position.leave(served)
        return served + others

    def add_moved(self, decision: Decision) -> None:
        """Take in another state of an order, or keep it until the order is known as decided."""
        order = self._known.get(OrderId(decision.id))
        if order is None:
            self._early.keep(decision)
            return
        if may_become(order.status, decision.status):
            if order.status is Status.QUEUED:
                del self._waiting[order.order_id]
                self._queue_position.leave()
            order.decide(decision)
        else:
            order.note_hold(decision)
        self.open.note(order)

    def _note_undelivered(self, order: KnownOrder) -> None:
        if order.delivery is DeliveryState.PENDING:
            self._undelivered.setdefault(order.order_id, order)
        elif self._undelivered:
            self._undelivered.pop(order.order_id, None)

    def hear(self) -> None:
        """Note that announcements are heard from now on; earlier ones may be missing."""
        self.complete_since = time.monotonic()

    def stop_hearing(self) -> None:
        """Note that announcements may be missed from now on."""
        self.complete_since = math.inf

    def oldest_waiting(self, most: int, than_seconds: float) -> list[OrderId]:
        """Return up to `most` orders that have waited for more than `than_seconds`.

        They wait for their decision, or for the end of their delivery.
        """
        since = time.monotonic() - than_seconds
        waiting = chain(self._waiting.values(), self._undelivered.values())
        oldest: Iterable[KnownOrder] = islice(waiting, most)
        return [order.order_id for order in oldest if order.known_at < since]

    def _forget_old(self, now: float) -> None:
        """Forget the oldest orders while there are too many, and decided ones that are too old."""
        known = self._known
        too_old = now - self._seconds
        while known:
            oldest = next(iter(known.values()))
            if len(known) <= self._most and (
                oldest.known_at >= too_old or oldest.status is Status.QUEUED
            ):
                return
            order_id, forgotten = known.popitem(last=False)
            self.complete_since = max(self.complete_since, forgotten.known_at)
            if forgotten.status is Status.QUEUED:
                del self._waiting[order_id]
                self._queue_position.forget()
            else:
                self._undelivered.pop(order_id, None)
                if forgotten.status in OPEN_IN_LEDGER:
                    self.open.forget(order_id)
                    forgotten.wake()
