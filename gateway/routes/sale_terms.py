"""The terms of a sale, as shoppers and operators see them."""

from datetime import datetime
from typing import Any

import msgspec

from flashsale.domain.moments import moment_at
from flashsale.domain.sales import Sale, SaleState, sale_state


class SaleTerms(msgspec.Struct):
    """What was set for a sale, and how far it is sold. Stock and limit are in items."""

    sku: str
    state: SaleState
    title: str | None
    price: str | None
    currency: str | None
    picture_url: str | None
    needs_pass: bool
    """Whether an order needs a purchase pass of the shop."""
    stock: int
    sold: int
    remaining: int
    customer_limit: int | None
    opens_at: datetime | None
    closes_at: datetime | None


def shown_terms(sale: Sale, now: float) -> dict[str, Any]:
    """Return the fields of `SaleTerms` for a sale at Unix time `now`."""
    return {
        "sku": sale.sku,
        "state": sale_state(sale, now),
        "title": sale.title,
        "price": sale.price,
        "currency": sale.currency,
        "picture_url": sale.picture_url,
        "needs_pass": sale.needs_pass,
        "stock": sale.stock,
        "sold": sale.sold,
        "remaining": sale.remaining,
        "customer_limit": sale.customer_limit,
        "opens_at": moment_at(sale.opens_at),
        "closes_at": moment_at(sale.closes_at),
    }
