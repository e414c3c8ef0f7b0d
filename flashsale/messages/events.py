"""Events: the messages to services about decided orders."""

import os
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from flashsale.domain.order_ids import ORDER_ID_PATTERN, OrderId
from flashsale.domain.orders import CustomerId, Quantity, Sku
from flashsale.messages.codec import decoder

EVENT_ID_PATTERN = r"^[0-9a-f]{32}\Z"


def new_event_id() -> str:
    """Return a random id, 32 hexadecimal digits, for an event that is written now."""
    return os.urandom(16).hex()


EventStatus = Literal[
    "confirmed", "rejected", "held", "waitlisted", "expired", "cancelled", "refund_due"
]
"""What has happened to an order. `refund_due`: a payment for it has to be given back."""


class EventFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event says that its order may not show any more when it is published."""

    reason: str | None = None
    expires_at: float | UnsetType = UNSET
    place: int | UnsetType = UNSET
    payment_id: str | UnsetType = UNSET
    amount: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    was_confirmed: bool | UnsetType = UNSET


NO_FACTS = EventFacts()


class OrderEvent(msgspec.Struct, frozen=True):
    """A decided order: the JSON body of a message on the exchange of events.

    `event_id` is the id of the event and of its message, the same in every copy. `order_id` is the
    id of the order. Version 0.1.0 sends events without it, whose `event_id` is that of the order.
    `remaining` is the number of items left, if those were not enough for the order. `decided_at` is
    when it happened. Times are Unix seconds.

    Of sales with holds, and absent where they say nothing: `expires_at` is when a hold ends,
    `place` the number of an order in the waiting list. `payment_id` is the payment that has paid a
    confirmed order, or that has to be given back, with the `amount` and the `currency` that were
    told of it. `was_confirmed` is true if a cancelled order was confirmed before.
    """

    event_id: Annotated[str, Meta(pattern=EVENT_ID_PATTERN)]
    status: EventStatus
    reason: str | None
    sku: Sku
    customer_id: CustomerId
    quantity: Quantity
    accepted_at: float
    decided_at: float
    order_id: Annotated[OrderId, Meta(pattern=ORDER_ID_PATTERN)] = OrderId("")
    remaining: int | None = None
    expires_at: float | UnsetType = UNSET
    place: int | UnsetType = UNSET
    payment_id: str | UnsetType = UNSET
    amount: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    was_confirmed: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if not self.order_id:
            msgspec.structs.force_setattr(self, "order_id", OrderId(self.event_id))

    @property
    def topic(self) -> str:
        """The routing key: `order.<status>.<sku>`."""
        return event_topic(self.status, self.sku)


def status_of_topic(topic: str) -> str:
    """Return the status in the routing key of an event."""
    return topic.split(".", 2)[1]


def event_topic(status: str, sku: str) -> str:
    """Return the routing key of an event. A sku may contain dots: `order.confirmed.#` is any."""
    return f"order.{status}.{sku}"


encode_event = msgspec.json.Encoder().encode
decode_event = decoder(msgspec.json.Decoder(OrderEvent))
"""Decode an event, and ignore fields of later versions. Raises `MessageError`."""
decode_facts = decoder(msgspec.json.Decoder(EventFacts))
"""Decode the facts of an event. Raises `MessageError`."""
