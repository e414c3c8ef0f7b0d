"""Several addresses in one URL, for a broker of several nodes: `amqp://a:5672/,amqp://b:5672/`."""

import re
from urllib.parse import urlsplit

# A comma that is part of a password or of a virtual host has no address behind it.
_BETWEEN = re.compile(r"\s*,\s*(?=[a-z]+://|$)")


def addresses(url: str) -> list[str]:
    """The addresses that the URL consists of, as they stand there."""
    return _BETWEEN.split(url.strip())


def is_address(url: str) -> bool:
    """Whether it is an address of one AMQP broker."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("amqp", "amqps") and (parts.port is None or parts.port > 0)
    except ValueError:  # its port is none
        return False


def without_secrets(address: str) -> str:
    """Host and port of an address, for people to read."""
    return urlsplit(address).netloc.rpartition("@")[2]
