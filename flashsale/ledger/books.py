"""The result of an audit of the books."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Books:
    """What is in the ledger, and the rows that should not be so."""

    sales: int
    orders: int
    sold: int
    oversold: int
    broken: Mapping[str, tuple[str, ...]]
    """By rule, of all rules."""

    @property
    def wrong(self) -> tuple[str, ...]:
        """Every row that should not be so."""
        return tuple(row for rows in self.broken.values() for row in rows)
