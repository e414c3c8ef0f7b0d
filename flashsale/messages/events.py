"""The message contract of what follows a sale: the events that services get."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import CustomerId, Quantity, Sku
from flashsale.messages.codec import decoder


class OrderEvent(msgspec.Struct, frozen=True):
    """An order was decided: the JSON body of a message on the exchange of events.

    `event_id` is the order's id, as an order has one event. It is the message's id too, and is the
    same in every copy. Moments are Unix seconds.
    """

    event_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    status: Literal["confirmed", "rejected"]
    reason: str | None
    sku: Sku
    customer_id: CustomerId
    quantity: Quantity
    accepted_at: float
    decided_at: float

    @property
    def order_id(self) -> OrderId:
        """The order that was decided."""
        return OrderId(self.event_id)

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
