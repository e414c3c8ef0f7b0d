"""The addresses by which clients are counted, in a short form."""

import re
import socket
from collections.abc import Iterable
from hashlib import blake2b
from typing import NewType

from flashsale.runtime.addresses import Network

Address = NewType("Address", bytes)
"""An IPv4 address in 4 bytes, or an IPv6 address in 16. IPv4-mapped ones are IPv4 (RFC 4291)."""

_SHORT_ID_BYTES = 16
_MAPPED = bytes(10) + b"\xff\xff"
_PORT = re.compile(r":[0-9]{1,5}\Z")
_BRACKETS = re.compile(r"\[([^][]*)\](?::[0-9]{1,5})?\Z")


def parse_address(text: str | None) -> Address | None:
    """Return an address without port, None if it is none."""
    if text is None:
        return None
    try:
        if ":" not in text:
            return Address(socket.inet_pton(socket.AF_INET, text))
        # A link-local address may have a zone.
        packed = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    return Address(packed[12:] if packed.startswith(_MAPPED) else packed)


def parse_hop(text: str) -> Address | None:
    """Return the address that a proxy writes of a hop, with a port or without; None if none.

    Proxies write `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, and
    `[2001:db8::1]:4711`.
    """
    text = text.strip(" \t")
    if ":" not in text:
        return parse_address(text)
    if found := _BRACKETS.match(text):
        return parse_address(found[1]) if ":" in found[1] else None
    return parse_address(_PORT.sub("", text) if text.count(":") == 1 else text)


class ClientKeys:
    """Makes the keys of clients. Those of addresses and of customers never meet."""

    def __init__(self, ipv6_prefix: int) -> None:
        """Count the addresses of an IPv6 network as one client; its prefix has 32 bits or more."""
        self._most = (ipv6_prefix + 7) // 8 - 1
        self._last_mask = 0xFF << (-ipv6_prefix % 8) & 0xFF

    def of_address(self, address: Address) -> bytes:
        """Return the key of an address: all of an IPv4 one, the prefix of an IPv6 one."""
        if len(address) == 4:
            return b"4" + address
        return b"6" + address[: self._most] + bytes((address[self._most] & self._last_mask,))

    def of_customer(self, customer: str) -> bytes:
        """Return the key of a customer, which has a few bytes only for every length of an id."""
        text = customer.encode(errors="surrogatepass")
        if len(text) <= _SHORT_ID_BYTES:
            return b"c" + text
        return b"C" + blake2b(text, digest_size=_SHORT_ID_BYTES).digest()


class TrustedNetworks:
    """Networks of proxies whose headers count."""

    def __init__(self, networks: Iterable[Network]) -> None:
        # By the length of their addresses: how many bits do not count, and those that do.
        self._networks: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for network in networks:
            shift = network.max_prefixlen - network.prefixlen
            bits = int(network.network_address) >> shift
            self._networks[network.max_prefixlen // 8].append((shift, bits))

    def __contains__(self, address: Address) -> bool:
        networks = self._networks[len(address)]
        if networks:
            number = int.from_bytes(address, "big")
            for shift, bits in networks:
                if number >> shift == bits:
                    return True
        return False
