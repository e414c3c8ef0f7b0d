"""`POST /admin/webhooks/{endpoint_id}/enable`, `/disable`, `/rotate` and `/test`."""

import msgspec
from aiohttp import web

from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import ENTITY_TAG, Answer, Body, Operation, Parameter
from gateway.openapi.parameters import IDEMPOTENCY_KEY, IF_MATCH_OR_ANY
from gateway.openapi.terms import OverlapSeconds
from gateway.routes.admin.access import author, operators
from gateway.routes.admin.changes import OF_BODIES, change_problems, read_change, seen_version
from gateway.routes.admin.sale_actions import Action, reason_of
from gateway.routes.admin.webhooks.endpoint_view import (
    ONE_ENDPOINT,
    NewSecretView,
    endpoint_id_of,
    endpoint_response,
    secret_response,
)

_encode = msgspec.json.Encoder().encode


class Rotation(Action, forbid_unknown_fields=True):
    """How long the secret before signs beside the new one: a day if nothing is said."""

    overlap_seconds: OverlapSeconds | None = None


class SentTestView(msgspec.Struct):
    """The id of the test event. The attempts show what came of it."""

    webhook_id: str


async def post_enable(request: web.Request) -> JsonResponse:
    """Send to the endpoint again."""
    endpoint_id, version = endpoint_id_of(request), seen_version(request, required=False)
    who = author(request, await reason_of(request), idempotency_key(request))
    with change_problems():
        changed = await request.app[CONTEXT].webhooks.enable_endpoint(endpoint_id, who, version)
    return endpoint_response(changed)


async def post_disable(request: web.Request) -> JsonResponse:
    """Send nothing more to the endpoint."""
    endpoint_id, version = endpoint_id_of(request), seen_version(request, required=False)
    who = author(request, await reason_of(request), idempotency_key(request))
    with change_problems():
        changed = await request.app[CONTEXT].webhooks.disable_endpoint(endpoint_id, who, version)
    return endpoint_response(changed)


async def post_rotate(request: web.Request) -> JsonResponse:
    """Give the endpoint a new secret, which this answer shows."""
    endpoint_id, version = endpoint_id_of(request), seen_version(request, required=False)
    key = idempotency_key(request)
    wanted = await read_change(request, Rotation) if request.can_read_body else Rotation()
    with change_problems():
        issued = await request.app[CONTEXT].webhooks.rotate_secret(
            endpoint_id, author(request, wanted.reason, key), wanted.overlap_seconds, version
        )
    return secret_response(issued)


async def post_test(request: web.Request) -> JsonResponse:
    """Have a test event sent to the endpoint."""
    endpoint_id = endpoint_id_of(request)
    who = author(request, await reason_of(request), idempotency_key(request))
    with change_problems():
        webhook_id = await request.app[CONTEXT].webhooks.send_test(endpoint_id, who)
    return JsonResponse(_encode(SentTestView(webhook_id)), 202)


ROUTES = [
    web.post("/admin/webhooks/{endpoint_id}/enable", operators(post_enable)),
    web.post("/admin/webhooks/{endpoint_id}/disable", operators(post_disable)),
    web.post("/admin/webhooks/{endpoint_id}/rotate", operators(post_rotate)),
    web.post("/admin/webhooks/{endpoint_id}/test", operators(post_test)),
]


def _action(
    operation_id: str,
    summary: str,
    status: int,
    answer: Answer,
    body: type = Action,
    parameters: tuple[Parameter, ...] = (IF_MATCH_OR_ANY,),
) -> Operation:
    return Operation(
        operation_id,
        summary,
        {status: answer},
        (
            *OF_BODIES,
            "bad-idempotency-key",
            "unknown-endpoint",
            *(("precondition-failed",) if parameters else ()),
            "key-reused",
            "ledger-unavailable",
        ),
        parameters=(IDEMPOTENCY_KEY, *parameters),
        body=Body(body, required=False),
        access="operator",
    )


OPERATIONS = {
    "POST /admin/webhooks/{endpoint_id}/enable": _action(
        "enableWebhook", "Send to a webhook endpoint again", 200, ONE_ENDPOINT
    ),
    "POST /admin/webhooks/{endpoint_id}/disable": _action(
        "disableWebhook", "Send nothing more to a webhook endpoint", 200, ONE_ENDPOINT
    ),
    "POST /admin/webhooks/{endpoint_id}/rotate": _action(
        "rotateWebhookSecret",
        "Give a webhook endpoint a new secret",
        200,
        Answer("The endpoint and its new secret.", (NewSecretView,), headers=ENTITY_TAG),
        Rotation,
    ),
    "POST /admin/webhooks/{endpoint_id}/test": _action(
        "testWebhook",
        "Send a test event to a webhook endpoint",
        202,
        Answer("The event will be sent.", (SentTestView,)),
        parameters=(),
    ),
}
