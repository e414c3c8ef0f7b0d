"""The terms of a sale, as shoppers and operators see them."""

from datetime import datetime

import msgspec

from flashsale.domain.sales import SaleState


class SaleTerms(msgspec.Struct):
    """What `shown_terms` returns. Stock and limit are in items."""

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
