"""The path at which shoppers find the gateway, if a proxy has other things at its root."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage

from flashsale.runtime.addresses import Network, is_path
from gateway.http.json_response import JsonResponse

_HEADER = "X-Forwarded-Prefix"
_LONGEST = 200
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


class PublicPath:
    """The prefix of every address that shoppers are told, without a slash at its end."""

    def __init__(self, configured: str, trusted: Sequence[Network]) -> None:
        """Use the path `configured`, or what a proxy in one of the `trusted` networks says."""
        self._configured = configured
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(1024)(self._find)

    def of(self, request: web.Request) -> str:
        """Return the prefix for the client of this request."""
        if not self._trusted or _HEADER not in request.headers:
            return self._configured
        given = request.headers.getall(_HEADER)
        prefix = given[0].rstrip("/")
        # Anyone can send the header, and the answer repeats it.
        if (
            len(given) > 1
            or len(prefix) > _LONGEST
            or not is_path(prefix)
            or not self._is_trusted(request.remote)
        ):
            return self._configured
        return prefix

    def _find(self, client: str | None) -> bool:
        try:
            address = ip_address(client or "")
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._trusted)


def without_prefix(prefix: str, make_request: Callable[..., web.BaseRequest]) -> Any:
    """Return a factory of requests whose addresses have lost the prefix, if they had it.

    Some proxies pass the address on as it is, and others remove the prefix: both work.
    """
    start = f"{prefix}/"

    def make(message: RawRequestMessage, *parts: Any) -> web.BaseRequest:
        path = message.url.raw_path
        if "%" in path:
            path = _ENCODED.sub(_decoded, path)
        if path.startswith(start):
            url = message.url.with_path(path[len(prefix) :], encoded=True, keep_query=True)
            message = message._replace(url=url)
        return make_request(message, *parts)

    return make


def _decoded(encoded: re.Match[str]) -> str:
    """Return the character if it means the same without encoding (RFC 3986 6.2.2.2)."""
    character = chr(int(encoded[0][1:], 16))
    return character if _UNRESERVED.match(character) else encoded[0]


def redirect(prefix: str) -> web.RouteDef:
    """Return a route that adds the slash to the prefix: the page's addresses are relative to it."""

    async def add_slash(request: web.Request) -> web.StreamResponse:
        query = request.rel_url.raw_query_string
        return JsonResponse(b"", 308, {"Location": f"{prefix}/{'?' * bool(query)}{query}"})

    return web.get(prefix, add_slash)
