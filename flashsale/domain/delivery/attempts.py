"""The attempts at one delivery: how many, how far apart, and what becomes of it after the last."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from flashsale.domain.delivery.answers import TryAgain, Undeliverable

MOST_ATTEMPTS = 8
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 10.0
_GROWTH: float = (LAST_PAUSE_SECONDS / FIRST_PAUSE_SECONDS) ** (1 / (MOST_ATTEMPTS - 2))


def longest_pause(failed: int) -> float:
    """Return the longest pause in seconds after so many failed attempts.

    It grows evenly from 0.1 s after the first to 10 s before the last.
    """
    return min(FIRST_PAUSE_SECONDS * math.pow(_GROWTH, failed - 1), LAST_PAUSE_SECONDS)


@dataclass(slots=True)
class Attempts:
    """The attempts so far at one delivery."""

    failed: int = 0
    """Those that count. An answer that the receiver is busy does not, nor does a failed probe."""
    maybe_known: bool = False
    """Whether the receiver may have the order. It stays so: see `Parcel.maybe_known`."""

    def fail(
        self,
        answer: TryAgain,
        *,
        counts: bool = True,
        draw: Callable[[], float] = random.random,
    ) -> float | Undeliverable:
        """Note an attempt that decided nothing.

        Return the seconds until the next, or what the order is after the last one. The pause has
        full jitter, so that orders that failed together do not come back together
        (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). `draw` returns
        a number from 0 to 1. If the attempt does not count, there is always a next.
        """
        self.maybe_known |= answer.unknown
        self.failed += counts
        if self.failed >= MOST_ATTEMPTS:
            return Undeliverable(f"{self.failed} attempts failed, the last: {answer.reason}")
        return draw() * longest_pause(max(1, self.failed))
