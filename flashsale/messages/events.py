"""Events: the messages to services about decided orders."""

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
    """A decided order: the JSON body of a message on the exchange of events.

    `event_id` is the id of the event and of its message, the same in every copy. `order_id` is the
    id of the order. Version 0.1.0 sends events without it, whose `event_id` is that of the order.
    `remaining` is the number of items left, if those were not enough for the order. Times are Unix
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
    """Return the routing key of an event. A sku may contain dots: `order.confirmed.#` is any."""
    return f"order.{status}.{sku}"


encode_event = msgspec.json.Encoder().encode
decode_event = decoder(msgspec.json.Decoder(OrderEvent))
"""Decode an event, and ignore fields of later versions. Raises `MessageError`."""
