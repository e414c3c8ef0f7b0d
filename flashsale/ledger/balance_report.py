"""The result of an audit of the books."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Books:
    """The totals of the ledger, and the rows that break a rule."""

    sales: int
    orders: int
    sold: int
    oversold: int
    broken: Mapping[str, tuple[str, ...]]
    """The broken rows by rule, for every rule."""
    held: int = 0
    """The items that are held for payments."""
    waiting: int = 0
    """The orders in waiting lists."""
    deliveries_pending: int = 0
    """Confirmed orders that the order service of the shop has to be told of."""
    deliveries_failed: int = 0
    """Confirmed orders that it could not be told of, and that are dead letters."""

    @property
    def wrong(self) -> tuple[str, ...]:
        """The broken rows of all rules."""
        return tuple(row for rows in self.broken.values() for row in rows)
