"""What webhook endpoints get, as types: the description of the bodies that are sent."""

from datetime import datetime
from typing import Literal

import msgspec

from flashsale.messages.events import OrderEvent


class OrderWebhook(msgspec.Struct):
    """What has happened to an order, as a webhook endpoint gets it, and when it happened."""

    type: Literal[
        "order.confirmed",
        "order.rejected",
        "order.held",
        "order.waitlisted",
        "order.expired",
        "order.cancelled",
        "order.refund_due",
    ]
    timestamp: datetime
    data: OrderEvent


class DisabledEndpoint(msgspec.Struct):
    """An endpoint that is told nothing any more, and why."""

    endpoint_id: str
    reason: str


class DisabledWebhook(msgspec.Struct):
    """Another endpoint was disabled, and not by an operator."""

    type: Literal["endpoint.disabled"]
    timestamp: datetime
    data: DisabledEndpoint


class TestedEndpoint(msgspec.Struct):
    """The endpoint that is tested."""

    endpoint_id: str


class TestWebhook(msgspec.Struct):
    """An operator asked for a test."""

    type: Literal["webhook.test"]
    timestamp: datetime
    data: TestedEndpoint


WEBHOOKS: tuple[type[msgspec.Struct], ...] = (OrderWebhook, DisabledWebhook, TestWebhook)
"""Each body that an endpoint may get. Standard Webhooks sign it."""
