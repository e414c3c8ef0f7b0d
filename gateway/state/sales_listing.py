"""What is told of all sales, written once for all who ask within a moment."""

import math
from collections.abc import Callable

FRESH_SECONDS = 0.1
"""As long as the count of the backlog, which is part of it."""


class Listing:
    """With a thousand sales it takes two milliseconds to write, and every shopper may ask."""

    def __init__(self) -> None:
        self._written = b""
        self._written_at = -math.inf

    def read(self, now: float, write: Callable[[], bytes]) -> bytes:
        """The listing, written at most `FRESH_SECONDS` before `now`, in seconds."""
        if now - self._written_at > FRESH_SECONDS:
            self._written, self._written_at = write(), now
        return self._written
