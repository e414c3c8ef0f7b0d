"""Webhooks: tell other programs, over HTTP, what became of orders.

The handler writes a row for each endpoint that wants the event, as its effect. The sender of any
process takes the row from there.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from flashsale.domain.webhooks.deliveries import SERVICE
from flashsale.domain.webhooks.event_types import order_event_type, subscribes
from flashsale.ledger import Effects, LedgerError
from flashsale.ledger.sql.webhooks.new_deliveries import add_delivery
from flashsale.messages.events import OrderEvent
from flashsale.messages.webhook_events import order_webhook
from flashsale.runtime.background import cancelled
from flashsale.runtime.setting_groups.webhooks import WebhookSettings
from services.builtin.webhook.client import Clock, open_client
from services.builtin.webhook.housekeeping import Housekeeping
from services.builtin.webhook.metrics import WebhookMetrics
from services.builtin.webhook.public_connections import Lookup
from services.builtin.webhook.sender import Limits, Sender
from services.builtin.webhook.subscriptions import Subscriptions
from services.errors import Unavailable
from services.resources import Resources
from services.service import Handle, Service

_DAY = 86_400


@asynccontextmanager
async def open_webhook(
    settings: WebhookSettings,
    process: Resources,
    clock: Clock = time.time,
    lookup: Lookup = socket.getaddrinfo,
) -> AsyncIterator[Handle[OrderEvent]]:
    """Open the handler, and send until the exit. The rest is sent by other processes, or later."""
    queue = process.ledger.webhook_queue
    metrics = WebhookMetrics(process.registry)
    stop = process.stop
    async with open_client(settings, clock, lookup) as client:
        sender = Sender(
            queue=queue,
            client=client,
            limits=Limits(
                settings.webhook_endpoint_concurrency,
                settings.webhook_concurrency,
                settings.webhook_timeout_seconds,
            ),
            metrics=metrics,
            clock=clock,
        )
        housekeeping = Housekeeping(
            board=process.ledger.webhooks,
            queue=queue,
            metrics=metrics,
            most_waiting=settings.webhook_backlog,
            log_seconds=settings.webhook_log_days * _DAY,
            clock=clock,
        )
        running = [
            process.background.start(name, partial(work, stop), until=stop)
            for name, work in (
                ("webhook sender", sender.run),
                ("webhook housekeeping", housekeeping.run),
            )
        ]
        try:
            yield partial(write_deliveries, Subscriptions(queue.subscriptions), sender, clock)
            await asyncio.wait(running)
        finally:
            await cancelled(*running)
            metrics.close()


async def write_deliveries(
    subscriptions: Subscriptions,
    sender: Sender,
    clock: Clock,
    event: OrderEvent,
    effects: Effects,
) -> None:
    """Have the event delivered to each endpoint that wants it."""
    try:
        known = await subscriptions.current()
    except LedgerError as error:
        raise Unavailable(f"the database does not answer: {error}") from error
    event_type = order_event_type(event.status)
    wanting = [one for one in known if subscribes(one.event_types, event_type)]
    if not wanting:
        return
    webhook_event = order_webhook(event, effects.traceparent)
    for subscription in wanting:
        add_delivery(effects, subscription.endpoint_id, webhook_event, clock())
    sender.poke()


def _whole_event(event: OrderEvent) -> OrderEvent:
    return event


webhook = Service(
    SERVICE,
    ("order.#",),
    _whole_event,
    opened_with=open_webhook,
    concurrency=2000,
    settings=WebhookSettings,
)
