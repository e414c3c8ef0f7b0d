"""The terms of a sale, as shoppers and operators see them."""

from datetime import datetime

import msgspec

from flashsale.domain.sales import SaleState


class SaleTerms(msgspec.Struct):
    """What `shown_terms` returns. Stock and limit are in items.

    Stock and remaining items are null if the stock is the shop's, whose order service decides.
    """

    sku: str
    state: SaleState
    title: str | None
    price: str | None
    currency: str | None
    picture_url: str | None
    needs_pass: bool
    """Whether an order needs a purchase pass of the shop."""
    stock: int | None
    sold: int
    held: int
    """Items that are held for payments."""
    remaining: int | None
    customer_limit: int | None
    hold_seconds: int | None
    """How long an order holds its items for a payment; null if it buys them at once."""
    waitlist: int | None
    """How many orders may wait for items that are held; null if none."""
    waiting: int
    """How many orders wait."""
    cancellable: bool
    """Whether a confirmed order may be cancelled."""
    extendable: bool
    """Whether a customer may extend a hold once."""
    opens_at: datetime | None
    closes_at: datetime | None
