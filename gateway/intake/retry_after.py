"""After a full queue: how long to stay away, and for how long the queue counts as full."""

import random
import time

from gateway.state.backlog import Backlog
from gateway.state.drain.known_drain import KnownDrain

_LONGEST_SECONDS = 30
# After a refusal by the broker, refuse further orders without asking it, until the drain has made
# room for a fortieth of the queue. So refusals cost the broker nothing, and the queue never runs
# empty because of this.
_FULL_SECONDS = 0.025
_FULL_SHARE = 1 / 40
# The count of recent refusals loses a tenth in each tenth of a second.
_FORGET_SECONDS = 0.1
_REMEMBERED_SHARE = 0.9


class RetryAfter:
    """Knows of the queue's latest refusals."""

    def __init__(self, backlog: Backlog, drain: KnownDrain) -> None:
        self._backlog = backlog
        self._drain = drain
        self._full_until = 0.0
        self._refused = 0.0
        self._refused_at = 0.0

    @property
    def queue_is_full(self) -> bool:
        """Whether the broker refused an order a moment ago, so that the next one need not ask."""
        return time.monotonic() < self._full_until

    def note_full_queue(self) -> None:
        """Remember for a moment that the broker refused an order."""
        room = _FULL_SHARE * self._backlog.ready / self._drain.drained_per_second
        self._full_until = time.monotonic() + min(_FULL_SECONDS, room)

    def count_refusal(self) -> float:
        """Count a refused order, and return in how many seconds its client should come back.

        A full queue needs its length / the drain's speed to drain. All clients that were refused
        lately would come back at that moment as one wave, so they are spread over the time that
        the drain needs for as many orders.
        """
        now = time.monotonic()
        passed = (now - self._refused_at) / _FORGET_SECONDS
        self._refused = self._refused * _REMEMBERED_SHARE**passed + 1
        self._refused_at = now
        speed = self._drain.drained_per_second
        spread = 1 + self._refused / speed
        wait = self._backlog.ready / speed + random.uniform(0, spread)  # noqa: S311
        return min(wait, _LONGEST_SECONDS)
