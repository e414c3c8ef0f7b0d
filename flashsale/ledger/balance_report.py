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

    @property
    def wrong(self) -> tuple[str, ...]:
        """The broken rows of all rules."""
        return tuple(row for rows in self.broken.values() for row in rows)
