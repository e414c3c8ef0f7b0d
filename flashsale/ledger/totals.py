"""The totals that a service declares, so that an audit can check them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column


@dataclass(frozen=True)
class Totals:
    """Columns of a service's own table with a total for each customer.

    `sku` is None if a total counts all sales together. An audit compares `total` with `per_item`
    times the items of the confirmed orders that the service has done, less those of orders that
    were cancelled after that, if the service has done that event, too.
    """

    customer: Column[Any]
    total: Column[Any]
    sku: Column[Any] | None = None
    per_item: int = 1
