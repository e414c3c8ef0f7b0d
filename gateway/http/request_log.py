"""The fields that every log line about a request carries: its id, its route, its order."""

import re
import secrets

from aiohttp import web

from flashsale.domain.order_ids import OrderId
from flashsale.observability.logs import log_fields

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def route_of(request: web.Request) -> str:
    """Return the template of the request's route, or `none` if no route matches."""
    # What aiohttp's properties return: each request asks once or twice, and they are five calls.
    resource = request._match_info._route._resource  # type: ignore[union-attr]
    return resource.canonical if resource is not None else "none"


class RequestLogFields:
    """The log fields of one request. They are computed only if a line is logged."""

    __slots__ = ("_request", "_request_id", "order_id")

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._request_id: str | None = None
        self.order_id: OrderId | None = None

    @property
    def request_id(self) -> str:
        """The client's `X-Request-ID` if it is well-formed, else a random id."""
        if self._request_id is None:
            given = self._request.headers.get("X-Request-ID", "")
            self._request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)
        return self._request_id

    def __call__(self) -> dict[str, str]:
        """Return the fields of a log line."""
        request = self._request
        fields = {
            "request_id": self.request_id,
            "method": request.method,
            "route": route_of(request),
        }
        return fields if self.order_id is None else {**fields, "order_id": self.order_id}


def log_request(request: web.Request) -> RequestLogFields:
    """Add the request's fields to every line that this task logs from now on."""
    fields = RequestLogFields(request)
    log_fields.set(fields)
    return fields


def log_order_id(order_id: OrderId) -> None:
    """Add the order's id to the log lines of the request that this task handles."""
    fields = log_fields.get(None)
    if isinstance(fields, RequestLogFields):
        fields.order_id = order_id
