"""Everything that can be wrong with a request: problem details (RFC 9457) with stable types."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from flashsale.domain.errors import FlashsaleError
from flashsale.observability.gateway_metrics import RequestCounts
from gateway.http.json_response import Answer
from gateway.http.request_log import route_of, tag

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode

# type -> status and title. The types are part of the API: clients switch on them.
_KINDS: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "The request could not be read"),
    "bad-json": (400, "The body is not JSON"),
    "bad-idempotency-key": (400, "The Idempotency-Key is not valid"),
    "unauthorized": (401, "This is for operators"),
    "not-found": (404, "Nothing is here"),
    "unknown-order": (404, "No such order"),
    "unknown-sku": (404, "No such sale"),
    "method-not-allowed": (405, "This method is not for this address"),
    "slow-request": (408, "The body did not come in time"),
    "sale-not-open": (409, "The sale has not begun"),
    "sale-closed": (409, "The sale is over"),
    "sold-out": (409, "Sold out"),
    "body-too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body must be plain application/json"),
    "invalid-order": (422, "The order is not valid"),
    "key-reused": (422, "This Idempotency-Key came with another order"),
    "internal": (500, "Something went wrong here"),
    "queue-full": (503, "Too many orders are waiting"),
    "broker-unavailable": (503, "It is not known whether the order was taken"),
    "too-many-streams": (503, "Too many event streams are open"),
    "ledger-unavailable": (503, "The database does not answer"),
    "not-ready": (503, "Not ready"),
}
_BY_STATUS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
}


class Problem(FlashsaleError):
    """An answer other than the one that was hoped for."""

    def __init__(
        self,
        kind: str,
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
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def response(self) -> Answer:
        """The problem as an HTTP response."""
        status, _ = _KINDS[self.kind]
        if self.members:
            body = _encode(_told(self.kind, self.detail) | self.members)
        else:
            body = _body(self.kind, self.detail)
        return Answer(body, status, self.headers, "application/problem+json")


def _told(kind: str, detail: str) -> dict[str, Any]:
    status, title = _KINDS[kind]
    return {"type": f"/problems/{kind}", "title": title, "status": status, "detail": detail}


@lru_cache(maxsize=256)
def _body(kind: str, detail: str) -> bytes:
    # Who is turned away in a spike is told the same as thousands of others.
    return _encode(_told(kind, detail))


def problems(requests: RequestCounts) -> Middleware:
    """Answer every failure as a problem, aiohttp's own included, and count every answer."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        tagged = tag(request)
        try:
            answer = await handler(request)
        except Problem as problem:
            answer = problem.response()
        except web.HTTPException as error:
            kind = _BY_STATUS.get(error.status)
            if kind is None:
                raise
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            answer = Problem(kind, error.reason, headers=allow).response()
        except Exception:
            # The top of the request: logged whole here, told in general terms outside.
            log.exception("request failed")
            detail = "The failure was logged under this request_id."
            answer = Problem("internal", detail, request_id=tagged.request_id).response()
        requests.answered(request.method, route_of(request), answer.status)
        return answer

    return middleware
