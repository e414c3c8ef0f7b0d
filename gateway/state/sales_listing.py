"""The body of `GET /sales`, encoded once for all clients that ask within a moment."""

import math
from collections.abc import Callable

FRESH_SECONDS = 0.1
"""As long as a count of the backlog is used, which is a part of the listing."""


class SalesListing:
    """The latest listing. Encoding a thousand sales takes two milliseconds, and all may ask."""

    def __init__(self) -> None:
        self._body = b""
        self._encoded_at = -math.inf

    def read(self, now: float, encode: Callable[[], bytes]) -> bytes:
        """Return a listing that was encoded at most `FRESH_SECONDS` before `now`, in seconds."""
        if now - self._encoded_at > FRESH_SECONDS:
            self._body, self._encoded_at = encode(), now
        return self._body
