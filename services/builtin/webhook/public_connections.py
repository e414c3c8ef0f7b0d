"""Connections to public addresses only, checked when each is made.

The check is at the socket, after the name is resolved. So a name server that answers differently
from one time to the next (DNS rebinding) gains nothing, and an address in a URL is checked, too.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from flashsale.domain.webhooks.addresses import is_public
from flashsale.domain.webhooks.endpoints import MOST_ENDPOINTS

Lookup = Callable[..., Sequence[Any]]
"""Resolves a name, as `socket.getaddrinfo` does."""

_IDLE_SECONDS = 15.0
_DNS_SECONDS = 10


class AddressRefused(OSError):
    """A connection to an address that is not public was refused."""


def open_connector(allow_private: bool, most: int, lookup: Lookup) -> aiohttp.TCPConnector:
    """Return a connector for at most so many connections. Close it by its session."""
    return aiohttp.TCPConnector(
        limit=most,
        resolver=Resolver(lookup),
        ttl_dns_cache=_DNS_SECONDS,
        keepalive_timeout=_IDLE_SECONDS,
        ssl=ssl.create_default_context(),
        socket_factory=_any_socket if allow_private else public_socket,
    )


def public_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for a connection to this address. Raises `AddressRefused`."""
    family, kind, protocol, _, (host, *_) = address
    if not is_public(str(host)):
        raise AddressRefused(f"{host} is not public")
    return socket.socket(family, kind, protocol)


def _any_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    return socket.socket(family, kind, protocol)


class Resolver(AbstractResolver):
    """Resolves names in threads of its own.

    aiohttp looks a name up once for all that wait for it. So with a thread for each endpoint, a
    name server that does not answer holds up only the endpoints whose names it has.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(MOST_ENDPOINTS, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        look_up = partial(
            self._lookup,
            host,
            port,
            type=socket.SOCK_STREAM,
            family=family,
            flags=socket.AI_ADDRCONFIG,
        )
        try:
            found = await loop.run_in_executor(self._threads, look_up)
        except UnicodeError as error:  # a label that is too long
            raise OSError(f"{host} is no host name") from error
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=found_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Wait for no look-up: one may take minutes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
