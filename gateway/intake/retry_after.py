"""After a full queue: how long clients stay away."""

import random
import time

from gateway.state.backlog import Backlog
from gateway.state.drain.known_drain import KnownDrain

_LONGEST_SECONDS = 30
# The count of recent refusals loses a tenth in each tenth of a second.
_FORGET_SECONDS = 0.1
_REMEMBERED_SHARE = 0.9


class RetryAfter:
    """Knows how many orders were refused lately."""

    def __init__(self, backlog: Backlog, drain: KnownDrain) -> None:
        self._backlog = backlog
        self._drain = drain
        self._refused = 0.0
        self._refused_at = 0.0

    def count_refusal(self) -> float:
        """Count a refused order, and return in how many seconds its client should come back.

        A full queue needs its length / the drain's speed to drain, and before that the time for
        which the drain takes nothing, as the receiver of its orders wants none. All clients that
        were refused lately would come back at that moment as one wave, so they are spread over the
        time that the drain needs for as many orders.
        """
        now = time.monotonic()
        passed = (now - self._refused_at) / _FORGET_SECONDS
        self._refused = self._refused * _REMEMBERED_SHARE**passed + 1
        self._refused_at = now
        speed = self._drain.drained_per_second
        spread = 1 + self._refused / speed
        drained = self._drain.resumes_in + self._backlog.ready / speed
        wait = drained + spread * random.random()  # noqa: S311
        return min(wait, _LONGEST_SECONDS)
