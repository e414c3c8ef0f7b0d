"""A change as an operator sends it: a JSON merge patch of a version that the operator has seen."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
from aiohttp import web

from flashsale.domain.moments import parse_moment
from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.operators.sale_changes import StockBelowSold
from flashsale.ledger import (
    ChangedMeanwhile,
    EndpointUnknown,
    KeyTaken,
    LedgerError,
    LedgerRefused,
    SaleHasSold,
    SaleUnknown,
)
from gateway.http.json_body import read_json_body
from gateway.http.problems import Problem, ProblemKind
from gateway.http.validators import strong_tags
from gateway.intake.whole_numbers import with_whole_numbers
from gateway.openapi.operation import Body

T = TypeVar("T", bound=msgspec.Struct)

MERGE_PATCH = "application/merge-patch+json"
"""RFC 7396. Plain JSON is taken, too."""

_VERSION = re.compile(r'"([0-9]{1,10})"\Z')
_FIELD = re.compile(r"`\$\.([^`]*)`")


async def read_change(request: web.Request, kind: type[T]) -> T:
    """Return the body as a change of that kind. Raises `Problem`."""
    body = await read_json_body(request, also=MERGE_PATCH)
    try:
        return _decode(body or b"{}", kind)
    except msgspec.ValidationError as error:
        found = _FIELD.search(str(error))
        detail = str(error).partition(" - at ")[0]
        raise _invalid(found[1] if found else "", detail) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad-json", str(error)) from error


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        return msgspec.convert(with_whole_numbers(msgspec.json.decode(body)), kind)


def entity_tag(version: int) -> dict[str, str]:
    """Return the header that names a version (RFC 9110, 8.8.3)."""
    return {"ETag": f'"{version}"'}


def seen_version(request: web.Request, *, required: bool = True) -> int | None:
    """Return the version that `If-Match` names, None for any. Raises `Problem`.

    A weak tag never matches (RFC 9110, 13.1.1). Without the header a change would undo what
    somebody else has done a moment ago (RFC 6585, 3).
    """
    given = request.headers.getall("If-Match", ())
    if not given:
        if required:
            raise Problem("precondition-required", "Send the ETag of what you saw as If-Match.")
        return None
    joined = ",".join(given).strip(" \t")
    if joined == "*":
        return None
    tags = strong_tags(joined)
    if tags is None:
        raise Problem("bad-request", "If-Match is a list of ETags, or *.")
    versions = [int(match[1]) for tag in tags if (match := _VERSION.match(tag))]
    if len(versions) != 1:
        raise Problem("precondition-failed", "If-Match names no version that was ever here.")
    return versions[0]


def moment_of(field: str, text: str) -> float:
    """Return a time of RFC 3339 in Unix seconds. Raises `Problem`."""
    try:
        return parse_moment(text).timestamp()
    except ValueError as error:
        raise _invalid(field, str(error)) from error


@contextmanager
def change_problems() -> Iterator[None]:
    """Raise the `Problem` for each reason why a change is not made."""
    try:
        yield
    except StockBelowSold as refused:
        raise Problem("stock-below-sold", f"{_sentence(refused.detail)}.") from refused
    except ChangeRefused as refused:
        raise _invalid(refused.field, refused.detail) from refused
    except ChangedMeanwhile as error:
        raise Problem("precondition-failed", f"Look again: {error}.") from error
    except KeyTaken as error:
        raise Problem("key-reused", "Use a new key for a new change.") from error
    except SaleUnknown as error:
        raise Problem("unknown-sku", "There is no sale of this sku.") from error
    except EndpointUnknown as error:
        raise Problem("unknown-endpoint", "There is no webhook endpoint of this id.") from error
    except SaleHasSold as error:
        raise Problem(
            "sale-has-sold", f"{_sentence(str(error))}: close the sale instead."
        ) from error
    except LedgerRefused as error:
        raise Problem("conflict", f"{_sentence(str(error))}.") from error
    except LedgerError as error:
        raise Problem(
            "ledger-unavailable", "Nothing is known to be changed. Try again.", retry_after=1
        ) from error


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _invalid(field: str, detail: str) -> Problem:
    errors = [{"field": field, "detail": detail}]
    return Problem("invalid-change", f"{field}: {detail}" if field else detail, errors=errors)


OF_BODIES: tuple[ProblemKind, ...] = (
    "bad-json",
    "body-too-large",
    "unsupported-media-type",
    "invalid-change",
)
"""The problems of a change in a body."""

OF_VERSIONS: tuple[ProblemKind, ...] = ("precondition-failed", "precondition-required")
"""The problems of a change to a version that the operator has seen."""


def patch_of(kind: type) -> Body:
    """Return the body of a merge patch of that kind."""
    return Body(kind, (MERGE_PATCH, "application/json"))
