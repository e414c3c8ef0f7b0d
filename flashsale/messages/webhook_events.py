"""Events as webhook endpoints get them."""

from collections.abc import Mapping

from flashsale.domain.webhooks.deliveries import WebhookEvent
from flashsale.domain.webhooks.event_types import order_event_type
from flashsale.messages.events import OrderEvent, new_event_id
from flashsale.messages.webhook_envelopes import encode_envelope


def order_webhook(event: OrderEvent, traceparent: str | None = None) -> WebhookEvent:
    """Return the event of a decided order. Its data is what every service gets."""
    event_type = order_event_type(event.status)
    return WebhookEvent(
        event_id=event.event_id,
        type=event_type,
        occurred_at=event.decided_at,
        body=encode_envelope(event_type, event.decided_at, event).decode(),
        order_id=event.order_id,
        traceparent=traceparent,
    )


def new_webhook(
    event_type: str, now: float, data: Mapping[str, str | float | None]
) -> WebhookEvent:
    """Return an event that happens now and is about no order."""
    body = encode_envelope(event_type, now, data).decode()
    return WebhookEvent(new_event_id(), event_type, now, body)
