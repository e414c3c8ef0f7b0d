"""`POST /admin/webhooks/{endpoint_id}/replay`: send the events of a range of time again."""

from datetime import datetime

import msgspec
from aiohttp import web

from flashsale.domain.moments import moment_at
from flashsale.domain.webhooks.endpoint_changes import END_OF_TIME
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import Answer, Body, Operation
from gateway.openapi.parameters import IDEMPOTENCY_KEY
from gateway.openapi.terms import Moment, Text
from gateway.routes.admin.access import author, operators
from gateway.routes.admin.changes import OF_BODIES, change_problems, moment_of, read_change
from gateway.routes.admin.webhooks.endpoint_view import endpoint_id_of

_encode = msgspec.json.Encoder().encode


class ReplayWish(msgspec.Struct, forbid_unknown_fields=True):
    """The orders that were decided in `since <= t < until`; without `until` all since then."""

    since: Moment
    until: Moment | None = None
    reason: Text | None = None


class ReplayedView(msgspec.Struct):
    """What will be sent again.

    `without_event` are orders of the range whose event is not known any more. If `next` is not
    null, only the first part of the range was done: ask again with `next` as `since`.
    """

    deliveries: int
    without_event: int
    next: datetime | None


async def post_replay(request: web.Request) -> JsonResponse:
    """Send again what the endpoint subscribes to."""
    endpoint_id, key = endpoint_id_of(request), idempotency_key(request)
    wish = await read_change(request, ReplayWish)
    since = moment_of("since", wish.since)
    until = END_OF_TIME if wish.until is None else moment_of("until", wish.until)
    with change_problems():
        done = await request.app[CONTEXT].webhooks.replay(
            endpoint_id, since, until, author(request, wish.reason, key)
        )
    view = ReplayedView(done.deliveries, done.without_event, moment_at(done.more_from))
    return JsonResponse(_encode(view))


ROUTES = [web.post("/admin/webhooks/{endpoint_id}/replay", operators(post_replay))]

OPERATIONS = {
    "POST /admin/webhooks/{endpoint_id}/replay": Operation(
        "replayWebhook",
        "Send the events of a range of time again",
        {200: Answer("What will be sent again.", (ReplayedView,))},
        (
            *OF_BODIES,
            "bad-idempotency-key",
            "unknown-endpoint",
            "key-reused",
            "ledger-unavailable",
        ),
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(ReplayWish),
        access="operator",
    )
}
