"""Several addresses in one URL, for a cluster: `amqp://a:5672/,amqp://b:5672/`."""

import re
from urllib.parse import urlsplit

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


def without_secrets(address: str) -> str:
    """Return host and port of an address, without user and password."""
    return urlsplit(address).netloc.rpartition("@")[2]
