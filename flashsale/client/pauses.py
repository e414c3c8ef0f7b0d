"""How long to wait before the next attempt, and for how long to try at all."""

import random
import re
import time
from email.utils import parsedate_to_datetime

from flashsale.domain.backoff import Backoff

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 10.0
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?\Z")
_LATER_AT_MOST = 0.5
"""As a share of the pause that was asked for, so that clients do not come back as one wave."""


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` asks for; None if it is missing or unreadable.

    It is a number or a date (RFC 9110 10.2.3); `now` is in seconds since 1970.
    """
    if header is None:
        return None
    header = header.strip()
    if _NUMBER.match(header):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None


class Pauses:
    """The pauses between the attempts at one thing."""

    def __init__(self) -> None:
        self._backoff = Backoff(_FIRST_SECONDS, _LONGEST_SECONDS)

    def next(self, retry_after: float | None) -> float:
        """Return the next pause in seconds: never shorter than `retry_after` asks for.

        Without it each pause is up to twice as long as the one before, up to ten seconds.
        """
        own = self._backoff.next()
        if retry_after is None:
            return own
        later = random.uniform(0, _LATER_AT_MOST)  # noqa: S311 not a secret
        # A server that asks for no pause at all is not asked in a tight loop.
        return max(retry_after, _FIRST_SECONDS / 2) * (1 + later)


class Patience:
    """The time that is left for an undertaking, in seconds."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 once they are over."""
        return max(0.0, self._until - time.monotonic())

    def allows(self, pause: float) -> bool:
        """Return whether something can still be done after a pause of these seconds."""
        return pause < self.left
