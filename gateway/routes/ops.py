"""`/ops`: the operator's page, for who knows the admin token."""

import base64
import binascii
import hmac
import re

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.context import SAMPLES, SETTINGS
from gateway.http.json_response import Answer
from gateway.http.problems import Problem
from gateway.pages import ops_pages
from gateway.state.ops_samples import Sample

_MOMENT = re.compile(r"[0-9]{1,12}\Z")
_encode = msgspec.json.Encoder().encode


class Live(msgspec.Struct):
    """Limits, and the samples since the page asked last."""

    drain_limit: int
    backlog_limit: int
    fields: tuple[str, ...]
    samples: list[Sample]


def add_ops(app: web.Application) -> None:
    """Serve the operator's page and what it draws."""
    for path, page in ops_pages():
        app.router.add_get(path, _for_admins(page))
    app.router.add_get("/ops/samples", _for_admins(get_samples))


async def get_samples(request: web.Request) -> web.StreamResponse:
    """The samples after the moment `?after=`, in Unix seconds."""
    after = request.query.get("after", "0")
    if not _MOMENT.match(after):
        raise Problem("bad-request", "after is a moment in Unix seconds.")
    settings = request.app[SETTINGS]
    samples = request.app[SAMPLES].after(int(after))
    live = Live(settings.drain_rate, settings.queue_max_length, Sample.__struct_fields__, samples)
    return Answer(_encode(live), headers={"Cache-Control": "no-store"})


def _for_admins(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        token = request.app[SETTINGS].admin_token
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
    """The bearer token (RFC 6750), or the password (RFC 7617); empty if there is none."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode(errors="replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
