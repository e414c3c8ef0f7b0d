"""The memory of a gateway: bytes for each order that it knows as held, or as confirmed."""

import tracemalloc
from dataclasses import dataclass

from flashsale.domain.order_ids import random_order_id
from flashsale.domain.order_states import Status
from flashsale.messages.announcements import (
    BatchDecided,
    Decision,
    decode_announcement,
    encode_announcement,
)
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition

_ORDERS = 100_000
_BATCH = 500
_KEPT_SECONDS = 3_600.0


@dataclass(frozen=True)
class Memory:
    """Bytes of a gateway for each order, all that it knows of the order included.

    With an owner the gateway knows the customer, too: that is so if it checks tokens.
    """

    gateway_bytes_per_hold: int
    gateway_bytes_per_hold_with_owner: int
    gateway_bytes_per_confirmed: int


def memory(orders: int = _ORDERS) -> Memory:
    """Measure the memory for so many orders that a gateway took and heard the decisions of."""
    return Memory(
        gateway_bytes_per_hold=_bytes_of(orders, Status.HELD, owner=False),
        gateway_bytes_per_hold_with_owner=_bytes_of(orders, Status.HELD, owner=True),
        gateway_bytes_per_confirmed=_bytes_of(orders, Status.CONFIRMED, owner=False),
    )


def _bytes_of(count: int, status: Status, *, owner: bool) -> int:
    tracemalloc.start()
    try:
        known = KnownOrders(QueuePosition(KnownDrain(2_000)), 2 * count, _KEPT_SECONDS)
        before, _ = tracemalloc.get_traced_memory()
        for first in range(0, count, _BATCH):
            _decide(known, first, status, owner=owner)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return round((after - before) / count)


def _decide(known: KnownOrders, first: int, status: Status, *, owner: bool) -> None:
    """Take a batch of orders, and take in what the drain announces of them."""
    ends = None if status is Status.CONFIRMED else 1_800_000_000.0 + first
    decisions = []
    for number in range(first, first + _BATCH):
        order_id, customer = random_order_id(), f"c-{number:012x}" if owner else None
        known.add_taken(order_id, "bench", 1, customer)
        told = Decision(order_id, status, None, "bench", 1, customer_id=customer, expires_at=ends)
        decisions.append(told)
    # As it comes: nothing in the message is an object that the gateway has already.
    heard = decode_announcement(encode_announcement(BatchDecided(decisions, [], 0.0)))
    assert isinstance(heard, BatchDecided)  # noqa: S101 it was encoded as one
    for decision in heard.decisions:
        known.add_decided(decision)
