"""`GET /admin/webhooks/{endpoint_id}/deliveries` and `/attempts`: what waits, and what was sent."""

from datetime import datetime

import msgspec
from aiohttp import web

from flashsale.domain.moments import moment_at
from flashsale.domain.webhooks.deliveries import AttemptEntry, AttemptResult, Delivery
from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import Answer, Operation
from gateway.routes.admin.access import viewers
from gateway.routes.admin.changes import change_problems
from gateway.routes.admin.pages import CURSOR, LIMIT, cursor, page_size
from gateway.routes.admin.webhooks.endpoint_view import endpoint_id_of

_encode = msgspec.json.Encoder().encode


class DeliveryView(msgspec.Struct):
    """A delivery that is pending, or dead since `dead_at`. `attempts` have failed."""

    id: int
    webhook_id: str
    event_id: str
    type: str
    order_id: str | None
    occurred_at: datetime
    attempts: int
    next_at: datetime
    error: str | None
    dead_at: datetime | None


class DeliveryPage(msgspec.Struct):
    """Deliveries, the oldest first. `next` is the cursor of the next page, null on the last one."""

    deliveries: list[DeliveryView]
    next: str | None


class AttemptView(msgspec.Struct):
    """An attempt. `status` is that of the answer, null if there was none."""

    id: int
    webhook_id: str
    event_id: str
    type: str
    order_id: str | None
    attempt: int
    at: datetime
    milliseconds: int
    result: AttemptResult
    status: int | None
    error: str | None


class AttemptPage(msgspec.Struct):
    """Attempts, the newest first. `next` is the cursor of the next page, null on the last one."""

    attempts: list[AttemptView]
    next: str | None


async def get_deliveries(request: web.Request) -> JsonResponse:
    """Answer with a page of pending and dead deliveries: `?limit=` after `?cursor=`."""
    endpoint_id, limit, after = endpoint_id_of(request), page_size(request), cursor(request)
    board = request.app[CONTEXT].webhooks
    with change_problems():
        await board.find_endpoint(endpoint_id)
        found = await board.deliveries(endpoint_id, limit + 1, after)
    page = [_delivery(delivery) for delivery in found[:limit]]
    more = str(page[-1].id) if len(found) > limit else None
    return JsonResponse(_encode(DeliveryPage(page, more)))


async def get_attempts(request: web.Request) -> JsonResponse:
    """Answer with a page of the log: `?limit=` attempts after `?cursor=`."""
    endpoint_id, limit, before = endpoint_id_of(request), page_size(request), cursor(request)
    with change_problems():
        # The attempts of a deleted endpoint are still in the log, so its id is not looked up.
        found = await request.app[CONTEXT].webhooks.attempts(endpoint_id, limit + 1, before)
    page = [_attempt(entry) for entry in found[:limit]]
    more = str(page[-1].id) if len(found) > limit else None
    return JsonResponse(_encode(AttemptPage(page, more)))


def _delivery(delivery: Delivery) -> DeliveryView:
    fields = {name: getattr(delivery, name) for name in DeliveryView.__struct_fields__}
    moments = ("occurred_at", "next_at", "dead_at")
    return DeliveryView(**fields | {name: moment_at(fields[name]) for name in moments})


def _attempt(entry: AttemptEntry) -> AttemptView:
    fields = {name: getattr(entry, name) for name in AttemptView.__struct_fields__}
    return AttemptView(**fields | {"at": moment_at(entry.at)})


ROUTES = [
    web.get("/admin/webhooks/{endpoint_id}/deliveries", viewers(get_deliveries)),
    web.get("/admin/webhooks/{endpoint_id}/attempts", viewers(get_attempts)),
]

OPERATIONS = {
    "GET /admin/webhooks/{endpoint_id}/deliveries": Operation(
        "listWebhookDeliveries",
        "List the deliveries that are pending or dead",
        {200: Answer("A page, the oldest delivery first.", (DeliveryPage,))},
        ("unknown-endpoint", "ledger-unavailable"),
        parameters=(LIMIT, CURSOR),
        access="viewer",
    ),
    "GET /admin/webhooks/{endpoint_id}/attempts": Operation(
        "listWebhookAttempts",
        "List the attempts to deliver",
        {200: Answer("A page, the newest attempt first.", (AttemptPage,))},
        ("unknown-endpoint", "ledger-unavailable"),
        parameters=(LIMIT, CURSOR),
        access="viewer",
    ),
}
