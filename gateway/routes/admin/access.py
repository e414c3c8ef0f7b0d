"""Who may use the operator's addresses: bearers of a token, by role, and no other site's pages."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Iterator
from enum import IntEnum
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import SecretStr

from flashsale.domain.audit_entries import Author
from gateway.context import CONTEXT
from gateway.http.problems import Problem
from gateway.http.request_log import log_request

_WRONG_TOKEN_SECONDS = 1.0
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="flashsale", charset="UTF-8"'}


class Role(IntEnum):
    """What a token allows. Each role may do what the one before it may."""

    VIEWER = 1
    OPERATOR = 2


ROLE: web.RequestKey[Role] = web.RequestKey("role", Role)


def viewers(handler: Handler) -> Handler:
    """Let only bearers of any token use an address."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        await _authorize(request, Role.VIEWER)
        return await handler(request)

    return guarded


def operators(handler: Handler) -> Handler:
    """Let only operators use an address that changes something, and only from our own pages."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        await _authorize(request, Role.OPERATOR)
        _require_own_page(request)
        return await handler(request)

    return guarded


def author(request: web.Request, reason: str | None, key: str | None = None) -> Author:
    """Return who asks for a change by this request."""
    return Author(
        who=request[ROLE].name.lower(),
        reason=reason,
        request_id=log_request(request).request_id,
        idempotency_key=key,
    )


async def _authorize(request: web.Request, needed: Role) -> None:
    """Note the role of the request. Raises `Problem` unless its token has at least this role."""
    tokens = list(_tokens(request))
    if not tokens:
        raise Problem("not-found", "FLASHSALE_ADMIN_TOKEN is not set: there is no such address.")
    given = _given(request.headers.get("Authorization", ""))
    role = None
    for of_role, token in tokens:
        # Each comparison takes the same time, and all are made.
        if hmac.compare_digest(given, token.get_secret_value().encode()):
            role = of_role
    if role is None:
        if given:
            # Nobody can try many tokens on a connection.
            await asyncio.sleep(_WRONG_TOKEN_SECONDS)
        raise Problem(
            "unauthorized",
            "The token of an operator, as a bearer token or as the password of any user.",
            headers=_CHALLENGE,
        )
    if role < needed:
        raise Problem("forbidden", "This token may look, but not change anything.")
    request[ROLE] = role


def _tokens(request: web.Request) -> Iterator[tuple[Role, SecretStr]]:
    settings = request.app[CONTEXT].settings
    if settings.viewer_token is not None:
        yield Role.VIEWER, settings.viewer_token
    if settings.admin_token is not None:
        yield Role.OPERATOR, settings.admin_token


def _given(authorization: str) -> bytes:
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


def _require_own_page(request: web.Request) -> None:
    """Raise `Problem` if a page of another site sends the request.

    A browser attaches Basic credentials whichever page asks. It also says whose page that is
    (https://www.w3.org/TR/fetch-metadata/), older ones only by the Origin. Other clients say
    neither.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        own = site in ("same-origin", "none")
    else:
        origin = request.headers.get("Origin")
        own = origin is None or urlsplit(origin).netloc == request.headers.get("Host")
    if not own:
        raise Problem("cross-site", "A page of another site can't change anything here.")
