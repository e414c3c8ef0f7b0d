"""Several addresses in one URL, for a cluster: `amqp://a:5672/,amqp://b:5672/`."""

import re
from urllib.parse import urlsplit

import pika

_LONGEST_HEARTBEAT = 65_535
_LONGEST_TEXT = 255  # AMQP 0-9-1, 4.2.5.3

# A comma in a password or a virtual host is not followed by an address.
_BETWEEN = re.compile(r"\s*,\s*(?=[a-z]+://|$)")


def addresses(url: str) -> list[str]:
    """Return the addresses in the URL, unchanged."""
    return _BETWEEN.split(url.strip())


def is_address(url: str) -> bool:
    """Return whether the URL is the address of one AMQP node."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("amqp", "amqps") and (parts.port is None or parts.port > 0)
    except ValueError:  # the port is not a number
        return False


def parse_address(url: str) -> pika.URLParameters:
    """Return what pika needs to connect to one address.

    Raises `ValueError`, whose message names what is wrong and has no secret in it.
    """
    parts = urlsplit(url)
    if parts.username is not None and parts.password is None:
        raise ValueError("must have a password after the user: amqp://user:password@host")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{parts.hostname} is no name of a host") from error
    try:
        parameters = pika.URLParameters(url)
    except (LookupError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"has a wrong parameter: {error}") from error
    if isinstance(parameters.heartbeat, int) and parameters.heartbeat > _LONGEST_HEARTBEAT:
        raise ValueError(f"heartbeat={parameters.heartbeat} must be at most {_LONGEST_HEARTBEAT}")
    if len(parameters.virtual_host.encode()) > _LONGEST_TEXT:
        raise ValueError(f"must have a virtual host of at most {_LONGEST_TEXT} bytes")
    return parameters


def without_secrets(address: str) -> str:
    """Return host and port of an address, without user and password."""
    return urlsplit(address).netloc.rpartition("@")[2]
