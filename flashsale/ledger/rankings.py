"""The top buyers of a sale, and the query that reads them from a service's table."""

from dataclasses import dataclass
from typing import NewType

RankingQuery = NewType("RankingQuery", str)
"""SQL that selects `customer_id` and `bought` for `:sku`, best first, up to `:at_most` rows."""


@dataclass(frozen=True)
class Buyer:
    """A customer of a sale, and the number of items bought."""

    customer_id: str
    bought: int
