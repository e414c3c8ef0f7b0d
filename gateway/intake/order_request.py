"""Read an order from a request: strictly, and with an error for every field that is wrong."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn, get_type_hints

import msgspec
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from flashsale.domain.orders import OrderRequest
from gateway.http.problems import Problem

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10

_decode = msgspec.json.Decoder(OrderRequest).decode

# Quotes of an order with three fields and two texts: more of them is an escape or a field twice.
_PLAIN_QUOTES = 10


async def read_order(request: web.Request) -> OrderRequest:
    """Read the body of `POST /orders`. Raises `Problem`."""
    if "Content-Encoding" in request.headers:
        raise Problem("unsupported-media-type", "Send the body without a Content-Encoding.")
    if request.headers.get("Content-Type") != "application/json" and not _is_json(request):
        raise Problem("unsupported-media-type", "Send application/json in UTF-8.")
    return parse_order(await _read(request))


def _is_json(request: web.Request) -> bool:
    charset = (request.charset or "utf-8").lower()
    return request.content_type == "application/json" and charset in ("utf-8", "utf8", "us-ascii")


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        if request.content.is_eof():
            # As a rule the body came with the headers, and there is nothing to wait for.
            body = request.content.read_nowait()
            if len(body) > MAX_BODY_BYTES:
                raise _too_large()
            return body
        # The body is still on its way, and aiohttp would wait for ever.
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except TimeoutError as error:
        raise Problem("slow-request", f"Send the body within {BODY_SECONDS} s.") from error
    except (
        ClientPayloadError,
        ConnectionError,
        HttpProcessingError,
        web.RequestPayloadError,
    ) as error:
        raise Problem("bad-request", "The body ended before it was whole.") from error


def _too_large() -> Problem:
    return Problem("body-too-large", f"At most {MAX_BODY_BYTES} bytes.")


def parse_order(body: bytes) -> OrderRequest:
    """Parse an order. Raises `Problem`: 400 if it is not JSON, 422 if it is not an order."""
    try:
        order = _decode(body)
    except msgspec.ValidationError:
        _explain(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("bad-json", str(error)) from error
    if body.count(b'"') > _PLAIN_QUOTES:
        _parse_strictly(body)  # msgspec takes the last of two fields of one name
    return order


def _parse_strictly(body: bytes) -> Any:
    def pairs(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            raise ValueError("a name stands twice in one object")
        return found

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(body, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError as error:
        raise Problem("bad-json", "The body is nested too deeply.") from error
    except ValueError as error:
        raise Problem("bad-json", str(error)) from error


def _explain(body: bytes) -> NoReturn:
    value = _parse_strictly(body)
    if not isinstance(value, dict):
        raise Problem(
            "invalid-order",
            "An order is a JSON object.",
            errors=[{"field": "", "detail": "expected an object"}],
        )
    errors = []
    hints = get_type_hints(OrderRequest, include_extras=True)
    for field in msgspec.structs.fields(OrderRequest):
        if field.name not in value:
            if field.required:
                errors.append({"field": field.name, "detail": "is missing"})
            continue
        try:
            msgspec.convert(value[field.name], hints[field.name])
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            errors.append({"field": field.name, "detail": str(error)})
    errors += [
        {"field": name[:100], "detail": "is not a field of an order"}
        for name in value
        if name not in hints
    ]
    raise Problem(
        "invalid-order",
        f"Wrong: {', '.join(_printable(error['field']) for error in errors)}.",
        errors=[{name: _printable(text) for name, text in error.items()} for error in errors],
    )


def _printable(text: str) -> str:
    # JSON can name a lone surrogate, UTF-8 can't.
    return text.encode(errors="replace").decode()


_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x7e]{1,255}\Z")  # no quote, comma, semicolon
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"\Z')


def idempotency_key(request: web.Request) -> str | None:
    """The request's Idempotency-Key, quoted (RFC 8941) or bare. Raises `Problem`."""
    values = request.headers.getall("Idempotency-Key", ())
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
