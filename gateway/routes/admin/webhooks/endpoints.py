"""`/admin/webhooks`: list, create, change and delete endpoints."""

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from flashsale.domain.webhooks.addresses import require_url
from flashsale.domain.webhooks.endpoint_changes import EndpointChange
from flashsale.domain.webhooks.endpoints import EndpointTerms
from flashsale.domain.webhooks.event_types import EVERYTHING
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import ENTITY_TAG, Answer, Body, Operation
from gateway.openapi.parameters import IDEMPOTENCY_KEY, IF_MATCH, REASON
from gateway.openapi.terms import EventTypes, Text, WebhookUrl
from gateway.routes.admin.access import author, operators, viewers
from gateway.routes.admin.changes import (
    OF_BODIES,
    OF_VERSIONS,
    change_problems,
    patch_of,
    read_change,
    seen_version,
)
from gateway.routes.admin.webhooks.endpoint_view import (
    ONE_ENDPOINT,
    EndpointsView,
    NewSecretView,
    WatchedEndpointView,
    endpoint_id_of,
    endpoint_response,
    secret_response,
    view_response,
    watched_view,
)

_encode = msgspec.json.Encoder().encode


class NewEndpoint(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint to create. It gets the events that are decided from now on."""

    url: WebhookUrl
    event_types: EventTypes = (EVERYTHING,)
    description: Text | None = None
    reason: Text | None = None


class EndpointPatch(msgspec.Struct, forbid_unknown_fields=True):
    """A change of terms (RFC 7396): null removes the description, what is absent stays."""

    url: WebhookUrl | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    reason: Text | None = None


async def get_webhooks(request: web.Request) -> JsonResponse:
    """Answer with all endpoints, and what waits for each."""
    board = request.app[CONTEXT].webhooks
    with change_problems():
        endpoints, backlogs = await board.endpoints(), await board.backlogs()
    views = [watched_view(endpoint, backlogs) for endpoint in endpoints]
    return JsonResponse(_encode(EndpointsView(views)))


async def get_webhook(request: web.Request) -> JsonResponse:
    """Answer with one endpoint, and what waits for it."""
    board = request.app[CONTEXT].webhooks
    with change_problems():
        endpoint = await board.find_endpoint(endpoint_id_of(request))
        backlogs = await board.backlogs()
    return view_response(watched_view(endpoint, backlogs))


async def post_webhook(request: web.Request) -> JsonResponse:
    """Create an endpoint. A repeated request with its `Idempotency-Key` creates it once."""
    context = request.app[CONTEXT]
    key = idempotency_key(request)
    wanted = await read_change(request, NewEndpoint)
    terms = EndpointTerms(wanted.url, wanted.event_types, wanted.description)
    with change_problems():
        require_url(wanted.url, allow_private=context.private_webhooks)
        issued = await context.webhooks.create_endpoint(terms, author(request, wanted.reason, key))
    location = f"{context.public_path.of(request)}/admin/webhooks/{issued.endpoint.id}"
    return secret_response(issued, 201, {"Location": location})


async def patch_webhook(request: web.Request) -> JsonResponse:
    """Change the terms of an endpoint. Every change is audited."""
    context = request.app[CONTEXT]
    endpoint_id, version = endpoint_id_of(request), seen_version(request)
    wanted = await read_change(request, EndpointPatch)
    change = EndpointChange(wanted.url, wanted.event_types, wanted.description)
    with change_problems():
        before = await context.webhooks.find_endpoint(endpoint_id)
        terms = change.apply(before, allow_private=context.private_webhooks)
        # The terms that stay are those of `before`, so nobody may have changed them since.
        seen = before.version if version is None else version
        changed = await context.webhooks.change_endpoint(
            endpoint_id, terms, author(request, wanted.reason), seen
        )
    return endpoint_response(changed)


async def delete_webhook(request: web.Request) -> JsonResponse:
    """Delete an endpoint and its deliveries, for the `?reason=` of the operator."""
    endpoint_id, version = endpoint_id_of(request), seen_version(request)
    who = author(request, request.query.get("reason"))
    with change_problems():
        await request.app[CONTEXT].webhooks.delete_endpoint(endpoint_id, who, version)
    return JsonResponse(b"", 204)


ROUTES = [
    web.get("/admin/webhooks", viewers(get_webhooks)),
    web.post("/admin/webhooks", operators(post_webhook)),
    web.get("/admin/webhooks/{endpoint_id}", viewers(get_webhook)),
    web.patch("/admin/webhooks/{endpoint_id}", operators(patch_webhook)),
    web.delete("/admin/webhooks/{endpoint_id}", operators(delete_webhook)),
]

OPERATIONS = {
    "GET /admin/webhooks": Operation(
        "listWebhooks",
        "List the webhook endpoints",
        {200: Answer("All endpoints.", (EndpointsView,))},
        ("ledger-unavailable",),
        access="viewer",
    ),
    "POST /admin/webhooks": Operation(
        "createWebhook",
        "Create a webhook endpoint, and get its secret",
        {
            201: Answer(
                "The endpoint was created.",
                (NewSecretView,),
                headers={**ENTITY_TAG, "Location": "The address of the endpoint."},
            )
        },
        (*OF_BODIES, "bad-idempotency-key", "key-reused", "ledger-unavailable"),
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(NewEndpoint),
        access="operator",
    ),
    "GET /admin/webhooks/{endpoint_id}": Operation(
        "getWebhook",
        "Tell a webhook endpoint, and what waits for it",
        {200: Answer("The endpoint.", (WatchedEndpointView,), headers=ENTITY_TAG)},
        ("unknown-endpoint", "ledger-unavailable"),
        access="viewer",
    ),
    "PATCH /admin/webhooks/{endpoint_id}": Operation(
        "patchWebhook",
        "Change the address or the events of a webhook endpoint",
        {200: ONE_ENDPOINT},
        (*OF_BODIES, *OF_VERSIONS, "unknown-endpoint", "ledger-unavailable"),
        parameters=(IF_MATCH,),
        body=patch_of(EndpointPatch),
        access="operator",
    ),
    "DELETE /admin/webhooks/{endpoint_id}": Operation(
        "deleteWebhook",
        "Delete a webhook endpoint and its deliveries",
        {204: Answer("The endpoint is deleted.", content_type=None)},
        (*OF_VERSIONS, "invalid-change", "unknown-endpoint", "ledger-unavailable"),
        parameters=(IF_MATCH, REASON),
        access="operator",
    ),
}
