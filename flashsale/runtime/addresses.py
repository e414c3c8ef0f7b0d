"""Settings that say from where clients come: origins, networks, and a path. Commas are between."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?\Z")
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*\Z")

Network = IPv4Network | IPv6Network


def parse_origins(text: str) -> frozenset[str]:
    """Return the origins. Raises `ValueError` for one that no browser sends (RFC 6454 6.1)."""
    origins = _parts(text)
    for origin in origins:
        found = _ORIGIN.match(origin)
        if found is None or (found[1], found[3]) in _DEFAULT_PORTS:
            raise ValueError(
                "must be exact origins as browsers send them, in lower case, such as"
                " https://shop.example or http://localhost:3000"
            )
    return frozenset(origins)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks; an address is a network of one. Raises `ValueError`."""
    try:
        return tuple(ip_network(part) for part in _parts(text))
    except ValueError as error:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8 or ::1") from error


def is_path(text: str) -> bool:
    """Return whether this is a path without a slash at its end, or empty."""
    return _PATH.match(text) is not None and not {".", ".."} & set(text.split("/"))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _valid_origins(text: str) -> str:
    parse_origins(text)
    return text


def _valid_networks(text: str) -> str:
    parse_networks(text)
    return text


def _valid_path(text: str) -> str:
    path = text.rstrip("/")
    if not is_path(path):
        raise ValueError("must be a path such as /flash")
    return path


def _valid_host(text: str) -> str:
    try:
        if ":" in text:
            ip_address(text)
        else:
            text.encode("idna")
    except ValueError as error:
        raise ValueError(
            "must be an address or the name of a host, without brackets and port"
        ) from error
    return text


Host = Annotated[str, AfterValidator(_valid_host)]
Origins = Annotated[str, AfterValidator(_valid_origins)]
Networks = Annotated[str, AfterValidator(_valid_networks)]
PublicPath = Annotated[str, AfterValidator(_valid_path)]
