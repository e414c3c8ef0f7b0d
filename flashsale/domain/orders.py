"""An order: the request of a shopper, the queued order, and its outcome."""

from typing import Annotated

import msgspec
from msgspec import Meta

from flashsale.domain.customers import INVISIBLE, LONGEST_ID
from flashsale.domain.order_ids import ORDER_ID_PATTERN
from flashsale.domain.order_states import DeliveryState, Status

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"

Sku = Annotated[str, Meta(pattern=SKU_PATTERN)]
"""The id of an item for sale. It is part of routing keys and paths, so few characters are valid."""

# PostgreSQL's text holds no NUL, UTF-8 no surrogate. Other control characters can forge log lines.
CUSTOMER_ID_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z"

CustomerId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_ID,
        pattern=CUSTOMER_ID_PATTERN,
        # For those who read the schema: an id in its normal form has a character that is seen.
        extra_json_schema={"allOf": [{"pattern": rf"[^\s{INVISIBLE}]"}]},
    ),
]

Quantity = Annotated[int, Meta(ge=1, le=1_000)]


class OrderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /orders`."""

    sku: Sku
    customer_id: CustomerId
    quantity: Quantity = 1


class Order(msgspec.Struct, frozen=True, array_like=True):
    """A queued order. `accepted_at` is in Unix seconds, by the gateway's clock."""

    id: Annotated[str, Meta(pattern=ORDER_ID_PATTERN)]
    sku: Sku
    customer_id: CustomerId
    quantity: Quantity
    accepted_at: float


class Outcome(msgspec.Struct, frozen=True):
    """The decision on an order. `reason` is a `Reason` if the order was rejected.

    `remaining` is how many items were left if those were not enough for the order. `delivery` is
    the state of the delivery to the order service of the shop, None if the order is not delivered.
    `order_ref` is the name that the order service has given the order.

    `expires_at` is when the hold ends or has ended, in Unix seconds, None if the order never was
    held. `place` is the number of the order in the waiting list of its sale, None if it never
    waited. `extended` is whether the hold has been extended.
    """

    order: Order
    status: Status
    reason: str | None = None
    remaining: int | None = None
    order_ref: str | None = None
    delivery: DeliveryState | None = None
    expires_at: float | None = None
    place: int | None = None
    extended: bool = False
