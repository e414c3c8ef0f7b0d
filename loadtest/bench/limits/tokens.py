"""Tokens of shoppers, as a shop signs them: JWT with HS256 (RFC 7519), by the standard library."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

SECRET = "a secret of the benchmark, no other one"  # noqa: S105 there is nothing behind it
_HOUR_SECONDS = 3600


def tokens(first: int, count: int) -> Iterator[tuple[str, str]]:
    """Yield customers by number, from the `first` on, and their tokens, valid for an hour."""
    head = _encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    now = int(time.time())
    for number in range(first, first + count):
        claims = {"sub": f"c-{number}", "iat": now, "exp": now + _HOUR_SECONDS}
        signed = f"{head}.{_encoded(json.dumps(claims).encode())}"
        mac = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
        yield f"c-{number}", f"{signed}.{_encoded(mac)}"


def _encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
