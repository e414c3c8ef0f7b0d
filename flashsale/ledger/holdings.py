"""The contents of a ledger about some sales, as an audit reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Decided(NamedTuple):
    """An order of the ledger. If only the id of a failed order is known, the rest is empty.

    `status` is its state. `earlier` are those of its events before the last one. `place` is its
    number in the waiting list, if it ever was in one.
    """

    id: str
    sku: str
    customer: str
    quantity: int
    status: str
    earlier: tuple[str, ...] = ()
    place: int | None = None


class RateChange(NamedTuple):
    """A change of the rate by an operator, or its end. `at` is in Unix seconds.

    `rate` is in orders a second, and None for the rate of the environment.
    """

    at: float
    drain: str
    rate: int | None


SkuAndCustomer = tuple[str, str]
"""A sku and a customer. The sku is empty if a service counts all sales together."""


@dataclass(frozen=True)
class Tally:
    """The totals of a service for each buyer, and the items of the orders it has done."""

    counted: Mapping[SkuAndCustomer, int] = field(default_factory=dict)
    done: Mapping[SkuAndCustomer, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Holdings:
    """The contents of the ledger about some sales, and all orders whose sale is not known."""

    orders: Sequence[Decided] = ()
    broken: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The rows that break a rule of the books, by rule."""
    effects: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The order ids of the events that each service has done.

    An effect whose event is not the order's own is here under the id of that event.
    """
    unsent: frozenset[str] = frozenset()
    """The ids of orders with an event that is not sent yet."""
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    """The tallies of the services that declare totals, by service."""
    commits: Sequence[tuple[float, int]] = ()
    """The commits that wrote the orders: Unix seconds, and the number of orders.

    The time is by the clock of the database. Orders that were sent to an order service are left
    out, as their rows are written when it answers; those that were held and have moved on, too, as
    their rows are written when somebody pays. Empty unless the database is a PostgreSQL with
    `track_commit_timestamp = on`.
    """
    rate_changes: Sequence[RateChange] = ()
    """The changes of the rates of all drains."""
    undelivered: frozenset[str] = frozenset()
    """The ids of confirmed orders that the order service of the shop has to be told of."""
    overdue: int = 0
    """How many holds should have ended by now, their grace included, by the database's clock."""
