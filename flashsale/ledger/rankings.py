"""The top buyers of a sale, as a service that ranks them lets them be read."""

from dataclasses import dataclass
from typing import NewType

RankingQuery = NewType("RankingQuery", str)
"""SQL that selects `customer_id` and `bought`, best first, of `:sku`, at most `:at_most` rows."""


@dataclass(frozen=True)
class Buyer:
    """A customer of a sale, and the items bought."""

    customer_id: str
    bought: int
