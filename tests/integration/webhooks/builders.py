"""Endpoints, events and attempts, for tests."""

import time
from typing import Any

from flashsale.domain.audit_entries import Author
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.webhooks.deliveries import (
    SERVICE,
    Attempt,
    AttemptResult,
    Claimed,
    WebhookEvent,
)
from flashsale.domain.webhooks.endpoints import Endpoint, EndpointTerms
from flashsale.ledger import Effects, Ledger, Room
from flashsale.ledger.sql.webhooks.new_deliveries import add_delivery
from flashsale.messages.webhook_events import order_webhook
from tests.integration.services.bench import an_event

ANN = Author("ann", "a test")
LEASE_SECONDS = 60.0
ROOM = Room({}, each=8, total=64)


async def an_endpoint(
    ledger: Ledger, url: str = "https://shop.example/hook", *event_types: str
) -> Endpoint:
    terms = EndpointTerms(url, event_types or ("*",))
    return (await ledger.webhooks.create_endpoint(terms, ANN)).endpoint


def a_webhook(**changes: Any) -> WebhookEvent:
    """The event of an order of its own, decided now."""
    usual = {"decided_at": time.time(), "order_id": random_order_id()}
    return order_webhook(an_event(**(usual | changes)))


async def wrote(ledger: Ledger, endpoint: Endpoint, *events: WebhookEvent) -> None:
    """Write the deliveries of events to one endpoint, as the service does."""
    effects = []
    for event in events:
        one = Effects(event.event_id, event.order_id or "")
        add_delivery(one, endpoint.id, event, time.time())
        effects.append(one)
    await ledger.effects.take_effect(SERVICE, effects)


async def claimed(ledger: Ledger, now: float | None = None, room: Room = ROOM) -> list[Claimed]:
    at = time.time() if now is None else now
    return (await ledger.webhook_queue.claim(at, LEASE_SECONDS, room)).deliveries


def an_attempt(
    delivery: Claimed, result: AttemptResult = AttemptResult.DELIVERED, **changes: Any
) -> Attempt:
    usual: dict[str, Any] = {
        "started_at": time.time(),
        "milliseconds": 5,
        "status": 200 if result is AttemptResult.DELIVERED else 500,
    }
    return Attempt(delivery, result, **(usual | changes))
