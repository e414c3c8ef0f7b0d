"""Which request, and which order, a line of the log is about."""

import re
import secrets

from aiohttp import web

from flashsale.domain.order_ids import OrderId
from flashsale.observability.logs import log_fields

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def route_of(request: web.Request) -> str:
    """The template of the request's route, of which there are a few; `none` if it has none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


class Tag:
    """Names a request in the log, by its `X-Request-ID` if it has a sound one."""

    __slots__ = ("_request", "_request_id", "order_id")

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._request_id: str | None = None
        self.order_id: OrderId | None = None

    @property
    def request_id(self) -> str:
        """The name of the request: the caller's, or one of ours."""
        if self._request_id is None:
            given = self._request.headers.get("X-Request-ID", "")
            self._request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)
        return self._request_id

    def __call__(self) -> dict[str, str]:
        """What the log says of it."""
        request = self._request
        fields = {
            "request_id": self.request_id,
            "method": request.method,
            "route": route_of(request),
        }
        return fields if self.order_id is None else {**fields, "order_id": self.order_id}


def tag(request: web.Request) -> Tag:
    """Tag what is logged from here on, in this task."""
    tagged = Tag(request)
    log_fields.set(tagged)
    return tagged


def tag_order(order_id: OrderId) -> None:
    """The request that is answered here is about this order."""
    tagged = log_fields.get(None)
    if isinstance(tagged, Tag):
        tagged.order_id = order_id
