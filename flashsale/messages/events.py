"""The message contract of what follows a sale: the events that services get."""

import os
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flashsale.domain.order_ids import ORDER_ID_PATTERN, OrderId
from flashsale.domain.orders import CustomerId, Quantity, Sku
from flashsale.messages.codec import decoder

EVENT_ID_PATTERN = r"^[0-9a-f]{32}\Z"


def new_event_id() -> str:
    """Return a random id, 32 hexadecimal digits, for an event that is written now."""
    return os.urandom(16).hex()


class OrderEvent(msgspec.Struct, frozen=True):
    """An order was decided: the JSON body of a message on the exchange of events.

    `event_id` is the event's own, and the message's id; it is the same in every copy. `order_id` is
    the order that was decided: an earlier version sent events without it, under the order's id.
    `remaining` is how many items were left if those were not enough for the order. Moments are Unix
    seconds.
    """

    event_id: Annotated[str, Meta(pattern=EVENT_ID_PATTERN)]
    status: Literal["confirmed", "rejected"]
    reason: str | None
    sku: Sku
    customer_id: CustomerId
    quantity: Quantity
    accepted_at: float
    decided_at: float
    order_id: Annotated[OrderId, Meta(pattern=ORDER_ID_PATTERN)] = OrderId("")
    remaining: int | None = None

    def __post_init__(self) -> None:
        if not self.order_id:
            msgspec.structs.force_setattr(self, "order_id", OrderId(self.event_id))

    @property
    def topic(self) -> str:
        """The routing key: `order.confirmed.<sku>` or `order.rejected.<sku>`."""
        return event_topic(self.status, self.sku)


def event_topic(status: str, sku: str) -> str:
    """The routing key of an event. A sku may hold dots: `order.confirmed.#` is every sku."""
    return f"order.{status}.{sku}"


encode_event = msgspec.json.Encoder().encode
decode_event = decoder(msgspec.json.Decoder(OrderEvent))
"""Read an event; fields of later versions are passed over. Raises `MessageError`."""
