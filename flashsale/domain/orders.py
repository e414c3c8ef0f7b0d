"""An order: what a shopper asks for, what is queued, and what was decided about it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from flashsale.domain.order_ids import ORDER_ID_PATTERN
from flashsale.domain.order_states import Status

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"

Sku = Annotated[str, Meta(pattern=SKU_PATTERN)]
"""What is sold. It is part of routing keys and paths, hence the narrow alphabet."""

# PostgreSQL's text holds no NUL, UTF-8 no surrogate; other controls only serve to forge log lines.
CustomerId = Annotated[
    str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")
]

Quantity = Annotated[int, Meta(ge=1, le=1_000)]


class OrderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a shopper asks for: the body of `POST /orders`."""

    sku: Sku
    customer_id: CustomerId
    quantity: Quantity = 1


class Order(msgspec.Struct, frozen=True, array_like=True):
    """An order on its way through the queue. `accepted_at` is in Unix seconds, by the gateway."""

    id: Annotated[str, Meta(pattern=ORDER_ID_PATTERN)]
    sku: Sku
    customer_id: CustomerId
    quantity: Quantity
    accepted_at: float


class Outcome(msgspec.Struct, frozen=True):
    """What was decided about an order. `reason` says why: a `Reason` if it was rejected."""

    order: Order
    status: Status
    reason: str | None = None
