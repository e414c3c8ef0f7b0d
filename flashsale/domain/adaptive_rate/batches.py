"""The latest batches of a drain: how slow they were, and how much of its rate it has used."""

from collections import deque
from dataclasses import dataclass

WINDOW_SECONDS = 1.0
WINDOW_BATCHES = 10


@dataclass(frozen=True, slots=True)
class BatchSeen:
    """A committed batch. `ended_at` is in seconds of a monotonic clock."""

    ended_at: float
    seconds: float
    """The duration of its transaction."""
    orders: int
    held_back: bool = False
    """Whether more orders were at hand when it was released."""
    waiting: bool = False
    """Whether orders waited when it ended."""


@dataclass(frozen=True, slots=True)
class _Entry:
    ended_at: float
    seconds: float | None
    """None for a batch that failed."""
    used: float


class BatchWindow:
    """The batches of the last second, or the last ten batches if those took longer."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._began: float | None = None
        self._ended = 0.0
        self.waiting = False
        """Whether orders waited after the last batch."""

    def restart(self, now: float | None = None) -> None:
        """Forget all batches. The window begins at `now`, or with its first batch."""
        self._entries.clear()
        self._began = now
        if now is None:
            self.waiting = False
        else:
            self._ended = now

    def add(self, batch: BatchSeen, rate: int) -> None:
        """Count a batch that was released under the limit of `rate` orders/s."""
        # Orders waited all the time, and some were left over: the limit, or a batch that was as
        # large as the limit allows, was in use. Otherwise an order uses its place in the second
        # from its release until a second after its commit.
        if batch.held_back and self.waiting:
            used = batch.ended_at - self._ended
        else:
            used = batch.orders * (1 + batch.seconds) / rate
        self._append(_Entry(batch.ended_at, batch.seconds, used), batch.ended_at - batch.seconds)
        self.waiting = batch.waiting

    def add_failure(self, now: float) -> None:
        """Count a batch that the database has refused, or did not answer in time."""
        self._append(_Entry(now, None, 0.0), now)

    def _append(self, entry: _Entry, began: float) -> None:
        if self._began is None:
            self._began = began
        self._entries.append(entry)
        self._ended = entry.ended_at
        # Without the oldest one, it is still a second long and has ten batches.
        while (
            len(self._entries) > WINDOW_BATCHES
            and self._ended - self._entries[0].ended_at >= WINDOW_SECONDS
        ):
            self._began = self._entries.popleft().ended_at

    @property
    def failed(self) -> bool:
        """Whether any batch has failed."""
        return any(entry.seconds is None for entry in self._entries)

    @property
    def length(self) -> float:
        """The seconds from the beginning to the last batch."""
        return 0.0 if self._began is None else self._ended - self._began

    @property
    def whole(self) -> bool:
        """Whether it is a second long and has ten batches."""
        return len(self._entries) >= WINDOW_BATCHES and self.length >= WINDOW_SECONDS

    @property
    def p90(self) -> float:
        """The duration in seconds that nine of ten transactions did not exceed; 0 without any."""
        ordered = sorted(entry.seconds for entry in self._entries if entry.seconds is not None)
        return ordered[(9 * len(ordered) + 9) // 10 - 1] if ordered else 0.0

    @property
    def used(self) -> float:
        """The share of the time in which the limit was in use."""
        return sum(entry.used for entry in self._entries) / self.length if self.length else 0.0
