"""What a service declares about the figures that it adds up, so that an audit can check them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column


@dataclass(frozen=True)
class Totals:
    """Columns of a service's own table: what it has added up for each customer.

    `sku` is None if one total counts all sales together. An audit holds `total` against the items
    of the confirmed orders that the service has done, `per_item` for each of them.
    """

    customer: Column[Any]
    total: Column[Any]
    sku: Column[Any] | None = None
    per_item: int = 1
