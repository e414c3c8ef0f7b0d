"""Lists come in pages: `?limit=` items, and the cursor of the next page."""

import re

from aiohttp import web

from gateway.http.problems import Problem
from gateway.openapi.operation import Parameter
from gateway.openapi.parameters import limit

_LARGEST = 500
_DEFAULT = 50
_NUMBER = re.compile(r"[0-9]{1,18}\Z", re.ASCII)


def page_size(request: web.Request) -> int:
    """Return how many items are asked for, 50 by default. Raises `Problem`."""
    given = request.query.get("limit", str(_DEFAULT))
    if not _NUMBER.match(given) or not 1 <= int(given) <= _LARGEST:
        raise Problem("bad-request", f"limit is 1 to {_LARGEST}.")
    return int(given)


def cursor(request: web.Request) -> int | None:
    """Return the number after which the page begins, None for the first. Raises `Problem`."""
    given = request.query.get("cursor")
    if given is None:
        return None
    if not _NUMBER.match(given):
        raise Problem("bad-request", "cursor is the `next` of a page before.")
    return int(given)


LIMIT = limit(_LARGEST, _DEFAULT, "items")

CURSOR = Parameter(
    "cursor",
    "query",
    "The `next` of the page before; none for the first page.",
    {"type": "string", "minLength": 1},
)
