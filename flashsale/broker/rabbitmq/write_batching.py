"""Nagle's algorithm (RFC 896) for messages: gather them while a write is unconfirmed."""

import asyncio
from collections import deque
from collections.abc import Callable

_MAX_HOLD_SECONDS = 0.02
_WHOLE_WRITE = 32
"""So many messages are worth a write of their own."""
_MOST_WRITES = 2


class WriteBatcher:
    """Joins the messages of one channel into writes. A write waits for the confirms of the last.

    Under load dozens of messages share a write, which saves the broker a wake-up and a disk write
    for each. As soon as there are that many, a second write follows the first, so that the broker
    has something to do while the next ones are gathered. Without load a message leaves at the end
    of the turn of the event loop. A late confirm delays a write by 20 ms at most.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """Send frames by `write`."""
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._last_tag = 0
        # The last tag of each write that is not confirmed.
        self._written: deque[int] = deque()
        self._end_of_turn: asyncio.Handle | None = None
        self._hold_timer: asyncio.TimerHandle | None = None

    def add(self, frames: bytes, tag: int) -> None:
        """Add the frames of the next message. Tags count up."""
        self._gathered.append(frames)
        self._last_tag = tag
        if self._end_of_turn is None and (self._hold_timer is None or self._may_write):
            self._end_of_turn = self._loop.call_soon(self._on_end_of_turn)

    def confirmed_below(self, tag: int) -> None:
        """Note that the broker has answered for every message below this tag."""
        while self._written and self._written[0] < tag:
            self._written.popleft()
        if self._hold_timer is not None and self._may_write:
            self.flush()

    def flush(self) -> None:
        """Write the gathered messages now, without waiting for confirms."""
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
        if self._gathered:
            frames = b"".join(self._gathered)
            self._gathered.clear()
            self._written.append(self._last_tag)
            self._write(frames)

    @property
    def _may_write(self) -> bool:
        """Whether no write is in flight, or few enough for a whole one."""
        written = len(self._written)
        return not written or (written < _MOST_WRITES and len(self._gathered) >= _WHOLE_WRITE)

    def _on_end_of_turn(self) -> None:
        self._end_of_turn = None
        if self._may_write:
            self.flush()
        elif self._gathered and self._hold_timer is None:
            self._hold_timer = self._loop.call_later(_MAX_HOLD_SECONDS, self.flush)
