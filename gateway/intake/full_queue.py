"""A queue that is known to be full: its orders are refused without asking the broker."""

import asyncio
import time

from gateway.state.announcements import Announcements
from gateway.state.arrivals import OtherGateways
from gateway.state.backlog import SAMPLE_SECONDS

_PROBE_SECONDS = SAMPLE_SECONDS / 2


class FullQueue:
    """Knows for one sample that the broker refused an order, and which orders ask it meanwhile.

    These orders ask the broker although the queue is known to be full:
    - As many as the drain has decided since, shared among the gateways: that is the room they left.
    - One order each 50 ms, the probe. Others may make room, too: a purge, or a queue with another
      limit. Once the broker takes a probe, the queue is not full any more.

    A queue that refuses late has no room until a part of it has drained. There, the decisions of
    the drain are a reason for a probe only.

    So orders are refused without the broker only if it has refused one itself within the last
    sample, whatever becomes of the drain, of the count of the queue, and of its limit.
    """

    def __init__(
        self, announcements: Announcements, others: OtherGateways, *, refuses_late: bool
    ) -> None:
        """`refuses_late`: see `Broker.refuses_late`."""
        self._announcements = announcements
        self._others = others
        self._refuses_late = refuses_late
        self.known = False
        """Whether the queue counts as full. Each order looks at this, so it is a plain value."""
        self._until = 0.0
        self._decided = 0
        self._room = 0
        self._probe_at = 0.0
        self._probing = False

    def note_refusal(self) -> None:
        """Note that the broker has refused an order just now."""
        now = time.monotonic()
        if not self.known:
            self.known = True
            self._decided = self._announcements.decided
            self._room = 0
            self._probe_at = now + _PROBE_SECONDS
        self._until = now + SAMPLE_SECONDS

    def lets_ask(self) -> bool:
        """Return whether the next order may ask the broker. Call it while the queue is full."""
        now = time.monotonic()
        self._probing = False
        if now >= self._until:
            self.known = False
            return True
        self._take_in_decisions(now)
        if self._room > 0:
            self._room -= 1
            return True
        if now < self._probe_at:
            return False
        self._probe_at = now + _PROBE_SECONDS
        self._probing = True
        return True

    def note_asked(self, confirm: asyncio.Future[None]) -> None:
        """Note the confirm of the order that was let through last."""
        if self._probing:
            confirm.add_done_callback(self._probed)

    def _take_in_decisions(self, now: float) -> None:
        decided = self._announcements.decided - self._decided
        if not decided:
            return
        self._decided += decided
        if self._refuses_late:
            self._probe_at = now
        else:
            self._room += max(1, decided // (self._others.count() + 1))

    def _probed(self, confirm: asyncio.Future[None]) -> None:
        if not confirm.cancelled() and confirm.exception() is None:
            self.known = False
