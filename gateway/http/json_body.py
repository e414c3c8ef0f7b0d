"""Read the JSON body of a request: plain `application/json`, small, and in time."""

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.http.problems import Problem

if TYPE_CHECKING:
    from gateway.server.connection import Connection

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10
_CHARSETS = ("utf-8", "utf8", "us-ascii")


async def read_json_body(request: web.Request, also: str = "application/json") -> bytes:
    """Return the body, undecoded; its type is JSON or the one of `also`. Raises `Problem`."""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise Problem("unsupported-media-type", "Send the body without a Content-Encoding.")
    if request.headers.get(hdrs.CONTENT_TYPE) != "application/json" and not _is_json(request, also):
        raise Problem("unsupported-media-type", "Send application/json in UTF-8.")
    try:
        if request.content.is_eof():
            # As a rule the body came with the headers, and there is nothing to wait for.
            body = request.content.read_nowait()
            if len(body) > MAX_BODY_BYTES:
                raise _too_large()
            return body
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise _too_large()
        # aiohttp itself would wait for the rest of the body without a limit.
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except TimeoutError as error:
        _close_after_answer(request)
        raise Problem("slow-request", f"Send the body within {BODY_SECONDS} s.") from error
    except (
        ClientPayloadError,
        ConnectionError,
        HttpProcessingError,
        web.RequestPayloadError,
    ) as error:
        _close_after_answer(request)
        raise Problem("bad-request", "The body ended before it was whole.") from error


def _close_after_answer(request: web.Request) -> None:
    # Nobody knows where the next request begins.
    cast("Connection", request.protocol).end_after_answer()


def _is_json(request: web.Request, also: str) -> bool:
    charset = (request.charset or "utf-8").lower()
    return request.content_type in ("application/json", also) and charset in _CHARSETS


def _too_large() -> Problem:
    return Problem("body-too-large", f"At most {MAX_BODY_BYTES} bytes.")
