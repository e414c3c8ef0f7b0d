"""The `Idempotency-Key` header: the client's name for one order, the same in every retry.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import re

from aiohttp import web
from multidict import istr

from gateway.http.problems import Problem

IDEMPOTENCY_KEY = istr("Idempotency-Key")
"""The header. A name of this type is looked up without being folded each time."""

_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x7e]{1,255}\Z")  # no quote, comma, semicolon
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"\Z')


def idempotency_key(request: web.Request) -> str | None:
    """Return the request's key, quoted (RFC 8941) or bare; None without one. Raises `Problem`."""
    values = request.headers.getall(IDEMPOTENCY_KEY, ())
    if not values:
        return None
    if len(values) > 1:
        raise Problem("bad-idempotency-key", "Send one Idempotency-Key.")
    value = values[0].strip(" \t")
    if quoted := _QUOTED.match(value):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _BARE.match(value):
        return value
    raise Problem(
        "bad-idempotency-key",
        'Send 1 to 255 characters of printable ASCII, in double quotes if spaces, ";" or ","'
        " are among them.",
    )
