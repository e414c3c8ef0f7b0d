"""`/ops`: the operator's page, for clients that know the admin token."""

import base64
import binascii
import hmac
import re

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.pages import ops_files
from gateway.state.ops_samples import OpsSample

_MOMENT = re.compile(r"[0-9]{1,12}\Z")
_encode = msgspec.json.Encoder().encode


class OpsView(msgspec.Struct):
    """The limits in force, and the samples since the page asked last."""

    drain_rate: int
    backlog_limit: int
    fields: tuple[str, ...]
    samples: list[OpsSample]


async def get_samples(request: web.Request) -> web.StreamResponse:
    """Answer with the samples after `?after=`, in Unix seconds."""
    after = request.query.get("after", "0")
    if not _MOMENT.match(after):
        raise Problem("bad-request", "after is a moment in Unix seconds.")
    context = request.app[CONTEXT]
    view = OpsView(
        drain_rate=context.drain.drain_rate,
        backlog_limit=context.settings.queue_max_length,
        fields=OpsSample.__struct_fields__,
        samples=context.ops_samples.after(int(after)),
    )
    return JsonResponse(_encode(view))


def _require_admin(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        token = request.app[CONTEXT].settings.admin_token
        if token is None:
            raise Problem("not-found", "FLASHSALE_ADMIN_TOKEN is not set: there is no such page.")
        given = _token(request.headers.get("Authorization", ""))
        if not hmac.compare_digest(given, token.get_secret_value().encode()):
            raise Problem(
                "unauthorized",
                "The admin token, as a bearer token or as the password of any user.",
                headers={"WWW-Authenticate": 'Basic realm="flashsale", charset="UTF-8"'},
            )
        return await handler(request)

    return guarded


def _token(authorization: str) -> bytes:
    """Return the bearer token (RFC 6750) or the password (RFC 7617), empty without either."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode(errors="replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


ROUTES = [
    *(web.get(path, _require_admin(handler)) for path, handler in ops_files()),
    web.get("/ops/samples", _require_admin(get_samples)),
]
