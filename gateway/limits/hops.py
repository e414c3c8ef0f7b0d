"""Find a client behind proxies: by the header that the trusted ones write, read from the right.

https://datatracker.ietf.org/doc/html/rfc7239
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from aiohttp import web

from flashsale.runtime.addresses import Network
from gateway.limits.client_address import Address, TrustedNetworks, parse_address, parse_hop

ClientHeader = Literal["X-Forwarded-For", "Forwarded"]

# More proxies in a row are not read. A client may write a thousand of them.
_MOST_HOPS = 20
_MOST_PEERS = 4096

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 a token of RFC 9110, and no secret
_VALUE = rf'(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
_PAIR = re.compile(rf"[ \t]*({_TOKEN})=({_VALUE})[ \t]*(?:;|\Z)")


def _element_hop(element: str) -> Address | None:
    """Return the `for` of an element of `Forwarded`.

    A comma in quotes has split an element. None of its parts is one, so that what a client writes
    in quotes can't pretend to be what the proxy writes.
    """
    hops = []
    at = 0
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            return None
        if pair[1].lower() == "for":
            hops.append(pair[2].strip('"'))
        at = pair.end()
    return parse_hop(hops[0]) if len(hops) == 1 else None


_READERS: dict[ClientHeader, Callable[[str], Address | None]] = {
    "X-Forwarded-For": parse_hop,
    "Forwarded": _element_hop,
}


class Hops:
    """Tells the address of the client of a request, which no client can choose."""

    def __init__(self, trusted: Sequence[Network], header: ClientHeader) -> None:
        """Read one `header`, from proxies in `trusted` networks only."""
        self._trusted = TrustedNetworks(trusted)
        self._header = header
        self._read = _READERS[header]
        self._peers: dict[str | None, tuple[Address | None, bool]] = {}

    def client(self, request: web.Request) -> Address | None:
        """Return the first address from the right that is no trusted proxy.

        What a trusted proxy tells may be no address. Then the client counts as that proxy. None is
        a peer without an address.
        """
        peer = request.remote
        address, trusted = self._peers.get(peer) or self._parsed(peer)
        if address is None or not trusted:
            return address
        lines = request.headers.getall(self._header, ())
        text = lines[0] if len(lines) == 1 else ",".join(lines)
        hops = text.rsplit(",", _MOST_HOPS)
        for text in reversed(hops[-_MOST_HOPS:]):
            hop = self._read(text)
            if hop is None:
                return address
            address = hop
            if address not in self._trusted:
                return address
        return address

    def _parsed(self, peer: str | None) -> tuple[Address | None, bool]:
        """Return the address of a peer, and whether it is a trusted proxy. Remember both."""
        if len(self._peers) >= _MOST_PEERS:
            self._peers.clear()
        address = parse_address(peer)
        known = address, address is not None and address in self._trusted
        self._peers[peer] = known
        return known

    def is_unread(self, request: web.Request) -> bool:
        """Return whether the header has come from a peer that is not trusted."""
        _, trusted = self._parsed(request.remote)
        return self._header in request.headers and not trusted
