"""Nagle's rule (RFC 896) for messages: what comes while writes are unconfirmed goes as one."""

import asyncio
from collections import deque
from collections.abc import Callable

_UNCONFIRMED_WRITES = 2
_LONGEST_HOLD_SECONDS = 0.02


class Nagle:
    """Joins the messages of one channel into writes, of which two at most wait for confirms.

    The broker works on one while the next gathers. Under load a message so travels with dozens of
    others, which spares the broker a wake-up and a write to disk for each; in a calm it leaves at
    once. A confirm that is late holds nothing back for longer than 20 ms.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """`write` sends frames at once."""
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._last_tag = 0
        self._unconfirmed: deque[int] = deque()  # the last tag of each write
        self._end_of_turn: asyncio.Handle | None = None
        self._held: asyncio.TimerHandle | None = None

    def add(self, frames: bytes, tag: int) -> None:
        """Take the next message; tags count up."""
        self._gathered.append(frames)
        self._last_tag = tag
        if self._end_of_turn is None and self._held is None:
            self._end_of_turn = self._loop.call_soon(self._on_end_of_turn)

    def confirmed_below(self, tag: int) -> None:
        """The broker has answered for every message below that tag."""
        while self._unconfirmed and self._unconfirmed[0] < tag:
            self._unconfirmed.popleft()
        if self._held is not None and len(self._unconfirmed) < _UNCONFIRMED_WRITES:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered, whatever is unconfirmed."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
        if self._gathered:
            frames = b"".join(self._gathered)
            self._gathered.clear()
            self._unconfirmed.append(self._last_tag)
            self._write(frames)

    def _on_end_of_turn(self) -> None:
        self._end_of_turn = None
        if len(self._unconfirmed) < _UNCONFIRMED_WRITES:
            self.flush()
        elif self._gathered:
            self._held = self._loop.call_later(_LONGEST_HOLD_SECONDS, self.flush)
