"""Cross-origin requests: a shop's page on another origin may order, if a setting names the origin.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from collections.abc import Collection, Mapping, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.http.json_response import JsonResponse

# What shoppers need, and nothing that is for operators.
_PATHS = re.compile(r"/(orders|sales)(/|\Z)|/client\.js\Z")
_ALLOWED = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, Purchase-Pass,"
    " X-Request-ID, traceparent"
)
_EXPOSED = "Location, Retry-After, RateLimit, RateLimit-Policy"
_PREFLIGHT_SECONDS = 7200  # Chromium keeps a preflight's answer no longer

_VARY = {"Vary": "Origin"}
_SENT_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]*)[ \t]*(?=\r\n)", re.IGNORECASE)


class Cors:
    """The origins whose pages may use the gateway, and the headers that tell their browsers so."""

    def __init__(self, origins: Collection[str]) -> None:
        """Allow exactly these origins; with none, no answer has a header more."""
        self._by_origin = {
            origin: {
                **_VARY,
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Expose-Headers": _EXPOSED,
            }
            for origin in origins
        }

    def __bool__(self) -> bool:
        return bool(self._by_origin)

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """Return the headers for the answer to a request."""
        if not self._by_origin or not _PATHS.match(request.path):
            return {}
        return self._of(request.headers.getall("Origin", ()))

    def headers_of_unreadable(self, sent: bytes) -> Mapping[str, str]:
        """Return the headers for the answer to a request that is no HTTP, or not whole."""
        if not self._by_origin:
            return {}
        return self._of([each.decode() for each in _SENT_ORIGIN.findall(sent)])

    def _of(self, origins: Sequence[str]) -> Mapping[str, str]:
        return self._by_origin.get(origins[0], _VARY) if len(origins) == 1 else _VARY

    def answer(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers to a response that is not sent yet."""
        headers = self.headers(request)
        if not headers or not isinstance(response, JsonResponse):
            return
        if (
            request.method == "OPTIONS"
            and response.status == 204
            and headers is not _VARY
            and "Access-Control-Request-Method" in request.headers
        ):
            headers = {
                **headers,
                "Access-Control-Allow-Methods": response.extra["Allow"],
                "Access-Control-Allow-Headers": _ALLOWED,
                "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
            }
            if "Access-Control-Request-Private-Network" in request.headers:
                # https://wicg.github.io/private-network-access/: the origin is one that is named.
                headers = {**headers, "Access-Control-Allow-Private-Network": "true"}
        response.add_headers(headers)


def cross_origin(cors: Cors) -> Middleware:
    """Tell browsers which answers the page of another origin may read, errors included."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        cors.answer(request, response)
        return response

    return middleware
