"""`OPTIONS`: the methods of an address, or of the server by `*` (RFC 9110 9.3.7)."""

from collections.abc import Iterable

from aiohttp import web

from gateway.http.json_response import JsonResponse

_SERVER = "GET, HEAD, OPTIONS, POST"


def allow(methods: Iterable[str]) -> str:
    """Return the value of `Allow` for an address that has these methods."""
    return ", ".join(sorted({*methods, "OPTIONS"}))


def options_response(request: web.Request, error: web.HTTPException) -> JsonResponse | None:
    """Return the answer to an `OPTIONS`, for which there are no routes; None to other requests."""
    if request.method != "OPTIONS":
        return None
    if isinstance(error, web.HTTPMethodNotAllowed):
        return JsonResponse(b"", 204, {"Allow": allow(error.allowed_methods)})
    return JsonResponse(b"", 204, {"Allow": _SERVER}) if request.path == "*" else None
