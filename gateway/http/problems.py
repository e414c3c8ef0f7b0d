"""Every error response: problem details (RFC 9457) with stable types."""

import math
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import msgspec
import structlog
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from flashsale.domain.errors import FlashsaleError
from flashsale.observability.gateway_metrics import RequestCounts
from gateway.http.json_response import JsonResponse
from gateway.http.options import allow, options_response
from gateway.http.problem_kinds import KINDS
from gateway.http.problem_kinds import ProblemKind as ProblemKind
from gateway.http.request_log import log_request, route_of
from gateway.intake.refusals import (
    IntakePaused,
    InvalidOrder,
    KeyReused,
    LedgerAway,
    NotJson,
    OtherCustomer,
    OutcomeUnknown,
    OverClientLimit,
    PassRefused,
    PassRequired,
    PassUsed,
    QueueIsFull,
    Refusal,
    SaleClosed,
    SaleNotOpen,
    SoldOut,
    UnknownSku,
)
from gateway.openapi.problem_details import ProblemDetails

if TYPE_CHECKING:
    from gateway.server.connection import Connection

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode

# The kind and the detail of each refusal; the detail may name the refusal's own attributes.
_REFUSALS: Mapping[type[Refusal], tuple[ProblemKind, str]] = {
    NotJson: ("bad-json", "{detail}"),
    InvalidOrder: ("invalid-order", "{detail}"),
    UnknownSku: ("unknown-sku", "There is no sale of {sku}."),
    SaleNotOpen: ("sale-not-open", "This sale has not begun."),
    SaleClosed: ("sale-closed", "This sale is over."),
    SoldOut: ("sold-out", "Every item of this sale is sold."),
    IntakePaused: ("intake-paused", "{notice}"),
    OtherCustomer: ("other-customer", "Leave customer_id out, or send the one of the token."),
    PassRequired: ("pass-required", "Send a pass of the shop as Purchase-Pass."),
    PassRefused: ("invalid-pass", "{detail}"),
    PassUsed: ("pass-used", "A pass is for one order. Send the same order again, or another pass."),
    OverClientLimit: ("client-rate", "This client has sent too many requests. Come back."),
    KeyReused: ("key-reused", "Use a new key for a new order."),
    QueueIsFull: ("queue-full", "This attempt was not taken. Come back."),
    OutcomeUnknown: (
        "broker-unavailable",
        "Look the order up by its id, or send it again with the same Idempotency-Key: that"
        " is safe.",
    ),
    LedgerAway: ("ledger-unavailable", "Try again."),
}

MAX_HEAD_BYTES = 64 * 1024
"""Of the request line and all headers together."""
_EARLIER_UNKNOWN = (
    " It is not known what became of an earlier attempt with this key: look it up by its order_id."
)

# The kinds of the errors that aiohttp raises by itself.
_BY_STATUS: Mapping[int, ProblemKind] = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    417: "expectation-failed",
}


class Problem(FlashsaleError):
    """An error response, raised by a handler."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """`retry_after` is in seconds; `members` are added to the body."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members
        if retry_after is not None:
            self.headers["Retry-After"] = _retry_after(retry_after)

    @property
    def status(self) -> int:
        """The status of the response."""
        return KINDS[self.kind][0]

    @property
    def title(self) -> str:
        """The title of all problems of this kind."""
        return KINDS[self.kind][1]

    def response(self) -> JsonResponse:
        """Return the problem as an HTTP response."""
        return _response(self.kind, self.detail, self.headers, self.members)


def kind_of(refusal: Refusal) -> ProblemKind:
    """Return the kind of problem as which a refusal is answered."""
    return _REFUSALS[type(refusal)][0]


def refusal_response(refusal: Refusal) -> JsonResponse:
    """Return a refusal as an HTTP response."""
    kind, detail = _REFUSALS[type(refusal)]
    members: dict[str, Any] = {}
    if refusal.order_id is not None:
        members["order_id"] = refusal.order_id
    if refusal.earlier_unknown:
        members["earlier_attempt"] = "unknown"
    if isinstance(refusal, InvalidOrder):
        members["errors"] = refusal.errors
    wait = refusal.retry_after
    headers = None if wait is None else {"Retry-After": _retry_after(wait)}
    detail = detail.format_map(vars(refusal))
    if refusal.earlier_unknown:
        detail += _EARLIER_UNKNOWN
    return _response(kind, detail, headers, members)


def _response(
    kind: ProblemKind,
    detail: str,
    headers: Mapping[str, str] | None,
    members: Mapping[str, Any],
) -> JsonResponse:
    if members:
        body = _encode(ProblemDetails(**_basic_members(kind, detail), **members))
    else:
        body = _body(kind, detail)
    return JsonResponse(body, KINDS[kind][0], headers, "application/problem+json")


@lru_cache(maxsize=256)
def _body(kind: ProblemKind, detail: str) -> bytes:
    # In a spike thousands of orders are refused with the same body.
    return _encode(_basic_members(kind, detail))


def _basic_members(kind: ProblemKind, detail: str) -> dict[str, Any]:
    status, title = KINDS[kind]
    return {"type": f"/problems/{kind}", "title": title, "status": status, "detail": detail}


def _retry_after(seconds: float) -> str:
    return str(max(1, math.ceil(seconds)))


def http_problem(error: web.HTTPException) -> Problem:
    """Return the problem for an error that aiohttp raises by itself."""
    kind = _BY_STATUS.get(error.status, "bad-request" if error.status < 500 else "internal")
    headers = None
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers = {"Allow": allow(error.allowed_methods)}
    # Its text may repeat what the client has sent.
    return Problem(kind, HTTPStatus(KINDS[kind][0]).phrase, headers=headers)


def large_head_problem() -> Problem:
    """Return the problem for a head that is too large as a whole."""
    return Problem("headers-too-large", f"At most {MAX_HEAD_BYTES} bytes in all.")


def _require_readable(request: web.Request) -> None:
    """Raise `Problem` for what the parser lets pass: HTTP/0.9, HTTP/2.0, and a very large head."""
    connection = cast("Connection", request.protocol)
    if request.version not in (HttpVersion11, HttpVersion10):
        connection.close_after_answer()
        raise Problem("version-not-supported", "Send HTTP/1.1.")
    if connection.head_may_be_large:
        headers = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
        if headers + len(request.raw_path) > MAX_HEAD_BYTES:
            connection.close_after_answer()
            raise large_head_problem()


def problems(requests: RequestCounts) -> Middleware:
    """Answer every error as a problem, aiohttp's own included, and count every response."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        fields = log_request(request)
        response: web.StreamResponse
        try:
            _require_readable(request)
            response = await handler(request)
        except Refusal as refusal:
            response = refusal_response(refusal)
        except Problem as problem:
            response = problem.response()
        except web.HTTPException as error:
            response = options_response(request, error) or http_problem(error).response()
        except Exception:
            # The top of a request: the log gets the traceback, the client only a general text.
            log.exception("request failed")
            detail = "The failure was logged under this request_id."
            response = Problem("internal", detail, request_id=fields.request_id).response()
        requests.answered(request.method, route_of(request), response.status)
        return response

    return middleware
