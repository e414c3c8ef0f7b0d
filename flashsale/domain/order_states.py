"""The states of an order, and the one table of transitions between them.

Ledger, gateways and audit all read this table; a new state is a new row.
"""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """The state of an order. It never goes back."""

    QUEUED = "queued"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    FAILED = "failed"
    HELD = "held"
    """The items are reserved until the payment comes or the hold ends."""
    WAITLISTED = "waitlisted"
    """The order waits for items that others hold."""
    EXPIRED = "expired"
    """The hold has ended without a payment."""
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why an order was rejected."""

    SOLD_OUT = "sold_out"
    NOT_ENOUGH_LEFT = "not_enough_left"
    CUSTOMER_LIMIT = "customer_limit"
    SALE_NOT_OPEN = "sale_not_open"
    SALE_CLOSED = "sale_closed"
    UNKNOWN_SKU = "unknown_sku"


class CancelReason(StrEnum):
    """Why an order was cancelled."""

    BY_CUSTOMER = "by_customer"
    BY_OPERATOR = "by_operator"
    REPLACED = "replaced"
    """The customer has ordered again, and the new order has the hold or the place in line."""


class DeliveryState(StrEnum):
    """The state of the delivery of a confirmed order to the order service of the shop."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


_DECISIONS = frozenset({Status.HELD, Status.WAITLISTED, Status.CONFIRMED, Status.REJECTED})

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: _DECISIONS | {Status.FAILED, Status.CANCELLED},
    # An operator may replay a dead letter, and the drain then decides the order.
    Status.FAILED: _DECISIONS,
    Status.WAITLISTED: frozenset({Status.HELD, Status.REJECTED, Status.CANCELLED}),
    Status.HELD: frozenset({Status.CONFIRMED, Status.EXPIRED, Status.CANCELLED}),
    # A payment may come too late, and the items may still be there.
    Status.EXPIRED: frozenset({Status.CONFIRMED}),
    # If the sale allows it.
    Status.CONFIRMED: frozenset({Status.CANCELLED}),
    Status.REJECTED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""The states that may directly follow each state."""

DECIDED: tuple[Status, ...] = tuple(status for status in Status if status is not Status.QUEUED)
"""The states that the ledger records, in the order of their definition."""


OPEN: frozenset[Status] = frozenset({Status.QUEUED, Status.WAITLISTED, Status.HELD})
"""The states that another one follows in time, whatever anybody does."""

OPEN_IN_LEDGER: tuple[Status, ...] = (Status.HELD, Status.WAITLISTED)
"""The recorded states of orders that are neither bought nor lost."""


def may_follow(before: Status, after: Status) -> bool:
    """Return whether an order in the state `before` may change to the state `after`."""
    return after in TRANSITIONS[before]


def _reachable(before: Status) -> frozenset[Status]:
    return TRANSITIONS[before].union(*map(_reachable, TRANSITIONS[before]))


_REACHABLE: Mapping[Status, frozenset[Status]] = {status: _reachable(status) for status in Status}


def may_become(before: Status, after: Status) -> bool:
    """Return whether an order in the state `before` may at some time be in the state `after`."""
    return after in _REACHABLE[before]


def is_final(status: Status) -> bool:
    """Return whether no other state can follow."""
    return not TRANSITIONS[status]


DELIVERY_TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED}),
    # An operator may replay a failed delivery.
    DeliveryState.FAILED: frozenset({DeliveryState.PENDING, DeliveryState.DELIVERED}),
    DeliveryState.DELIVERED: frozenset(),
}
"""The states that may directly follow each state of a delivery."""


def _longest_path(status: Status) -> int:
    before = [_longest_path(s) + 1 for s, after in TRANSITIONS.items() if status in after]
    return max(before, default=0)


RANK: Mapping[Status, int] = {status: _longest_path(status) for status in Status}
"""The length of the longest path to each state. A state of a lower rank never follows."""
