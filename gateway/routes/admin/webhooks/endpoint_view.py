"""A webhook endpoint as operators see it, without its secrets."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from flashsale.domain.moments import moment_at
from flashsale.domain.webhooks.endpoints import Backlog, Endpoint, IssuedSecret
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import ENTITY_TAG, Answer
from gateway.openapi.parameters import IN_PATHS
from gateway.routes.admin.changes import entity_tag

_ID = re.compile(IN_PATHS["endpoint_id"][1]["pattern"])
_encode = msgspec.json.Encoder().encode


class EndpointView(msgspec.Struct):
    """An endpoint. `failures` are the failed attempts since the last success."""

    id: str
    url: str
    event_types: Sequence[str]
    description: str | None
    enabled: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    created_at: datetime
    previous_secret_until: datetime | None
    failures: int
    failing_since: datetime | None
    paused_until: datetime | None
    version: int


class WatchedEndpointView(EndpointView):
    """An endpoint, and the deliveries to it that are pending or dead."""

    pending: int
    dead: int
    oldest_pending_at: datetime | None


class EndpointsView(msgspec.Struct):
    """All endpoints, the oldest first."""

    webhooks: list[WatchedEndpointView]


class NewSecretView(EndpointView):
    """An endpoint and its new secret, which no other answer shows.

    The secret is null if the request is a retry: the first answer had it. Rotate if that is lost.
    """

    secret: str | None


def endpoint_id_of(request: web.Request) -> str:
    """Return the id that the path names. Raises `Problem` if no endpoint can have it."""
    endpoint_id = request.match_info["endpoint_id"]
    if not _ID.match(endpoint_id):
        raise Problem("unknown-endpoint", "There is no webhook endpoint of this id.")
    return endpoint_id


def watched_view(endpoint: Endpoint, backlogs: Sequence[Backlog]) -> WatchedEndpointView:
    """Return an endpoint with what waits for it."""
    waits = next((b for b in backlogs if b.endpoint_id == endpoint.id), None)
    return WatchedEndpointView(
        **_fields(endpoint),
        pending=waits.pending if waits else 0,
        dead=waits.dead if waits else 0,
        oldest_pending_at=moment_at(waits.oldest if waits else None),
    )


def endpoint_response(endpoint: Endpoint) -> JsonResponse:
    """Return the answer with one endpoint, and its version as `ETag`."""
    return view_response(EndpointView(**_fields(endpoint)))


def secret_response(
    issued: IssuedSecret, status: int = 200, headers: dict[str, str] | None = None
) -> JsonResponse:
    """Return the answer with an endpoint and its new secret."""
    view = NewSecretView(**_fields(issued.endpoint), secret=issued.secret)
    return view_response(view, status, headers)


def view_response(
    view: EndpointView, status: int = 200, headers: dict[str, str] | None = None
) -> JsonResponse:
    """Return the answer with an endpoint, and its version as `ETag`."""
    return JsonResponse(_encode(view), status, entity_tag(view.version) | (headers or {}))


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    moments = ("disabled_at", "created_at", "previous_secret_until", "failing_since")
    return {name: getattr(endpoint, name) for name in EndpointView.__struct_fields__} | {
        name: moment_at(getattr(endpoint, name)) for name in (*moments, "paused_until")
    }


ONE_ENDPOINT = Answer("The endpoint as it is now.", (EndpointView,), headers=ENTITY_TAG)
