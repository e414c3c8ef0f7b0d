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


class Reason(StrEnum):
    """Why an order was rejected."""

    SOLD_OUT = "sold_out"
    NOT_ENOUGH_LEFT = "not_enough_left"
    CUSTOMER_LIMIT = "customer_limit"
    SALE_NOT_OPEN = "sale_not_open"
    SALE_CLOSED = "sale_closed"
    UNKNOWN_SKU = "unknown_sku"


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.CONFIRMED, Status.REJECTED, Status.FAILED}),
    # An operator may replay a dead letter, and the drain then decides the order.
    Status.FAILED: frozenset({Status.CONFIRMED, Status.REJECTED}),
    Status.CONFIRMED: frozenset(),
    Status.REJECTED: frozenset(),
}
"""The states that may directly follow each state."""

DECIDED: tuple[Status, ...] = tuple(status for status in Status if status is not Status.QUEUED)
"""The states that the ledger records, in the order of their definition."""


def may_follow(before: Status, after: Status) -> bool:
    """Return whether an order in the state `before` may change to the state `after`."""
    return after in TRANSITIONS[before]


def is_final(status: Status) -> bool:
    """Return whether no other state can follow."""
    return not TRANSITIONS[status]


def _longest_path(status: Status) -> int:
    before = [_longest_path(s) + 1 for s, after in TRANSITIONS.items() if status in after]
    return max(before, default=0)


RANK: Mapping[Status, int] = {status: _longest_path(status) for status in Status}
"""The length of the longest path to each state. A state of a lower rank never follows."""
