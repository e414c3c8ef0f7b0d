"""Nagle's rule (RFC 896) for messages: what comes while a write is unconfirmed goes as one."""

import asyncio
from collections.abc import Callable

_LONGEST_HOLD_SECONDS = 0.02


class Nagle:
    """Joins the messages of one channel into writes, each of which waits for the one before.

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
        self._written_tag = 0
        self._confirmed_below = 1
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
        self._confirmed_below = tag
        if self._held is not None and not self._waits:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered, whatever is unconfirmed."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
        if self._gathered:
            frames = b"".join(self._gathered)
            self._gathered.clear()
            self._written_tag = self._last_tag
            self._write(frames)

    @property
    def _waits(self) -> bool:
        return self._confirmed_below <= self._written_tag

    def _on_end_of_turn(self) -> None:
        self._end_of_turn = None
        if not self._waits:
            self.flush()
        elif self._gathered:
            self._held = self._loop.call_later(_LONGEST_HOLD_SECONDS, self.flush)
