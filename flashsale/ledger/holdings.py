"""What a ledger holds of some sales, as an audit reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Decided(NamedTuple):
    """An order of the ledger. Of a failed one nothing but its id may be known: the rest is empty.

    `status` is `confirmed`, `rejected` or `failed`.
    """

    id: str
    sku: str
    customer: str
    quantity: int
    status: str


SkuAndCustomer = tuple[str, str]
"""A sku and a customer of it; the sku is empty where all sales count together."""


@dataclass(frozen=True)
class Tally:
    """What a service has added up for each buyer, and the items of the orders it has done."""

    counted: Mapping[SkuAndCustomer, int] = field(default_factory=dict)
    done: Mapping[SkuAndCustomer, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Holdings:
    """What the ledger holds of some sales, and of the failed orders, whose sale is not known."""

    orders: Sequence[Decided] = ()
    broken: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The rows of its books that should not be so, by rule."""
    effects: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The orders for which each service has done its work, one for each event that it has done.

    An effect of an event that is not its order's own stands here under the id of that event.
    """
    unsent: frozenset[str] = frozenset()
    """The orders with an event that the broker does not have yet."""
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    """By service, of those that add up."""
