"""The batches between two decisions about the rate: how slow they were, and how busy the drain."""

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


class BatchWindow:
    """The batches since the last decision. It is whole after a second and ten batches."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._failures = 0
        self._began: float | None = None
        self._ended = 0.0
        self._used = 0.0
        self.waiting = False
        """Whether orders waited after the last batch."""

    def restart(self, now: float | None = None) -> None:
        """Forget all batches. The next window begins at `now`, or with its first batch."""
        self._seconds.clear()
        self._failures = 0
        self._used = 0.0
        self._began = now
        if now is None:
            self.waiting = False
        else:
            self._ended = now

    def add(self, batch: BatchSeen, rate: int) -> None:
        """Count a batch that was released under the limit of `rate` orders/s."""
        if self._began is None:
            self._began = batch.ended_at - batch.seconds
        # Orders waited all the time, and some were left over: the limit, or a batch that was as
        # large as the limit allows, was in use. Otherwise an order uses its place in the second
        # from its release until a second after its commit.
        since = batch.ended_at - self._ended
        in_use = batch.held_back and self.waiting
        self._used += since if in_use else batch.orders * (1 + batch.seconds) / rate
        self._seconds.append(batch.seconds)
        self._ended = batch.ended_at
        self.waiting = batch.waiting

    def add_failure(self, now: float) -> None:
        """Count a batch that the database has refused, or did not answer in time."""
        if self._began is None:
            self._began = now
        self._failures += 1
        self._ended = now

    @property
    def failed(self) -> bool:
        """Whether any batch has failed."""
        return self._failures > 0

    @property
    def length(self) -> float:
        """The seconds from the beginning to the last batch."""
        return 0.0 if self._began is None else self._ended - self._began

    @property
    def whole(self) -> bool:
        """Whether there are enough batches for a decision."""
        enough = len(self._seconds) + self._failures >= WINDOW_BATCHES
        return enough and self.length >= WINDOW_SECONDS

    @property
    def p90(self) -> float:
        """The duration in seconds that nine of ten transactions did not exceed; 0 without any."""
        ordered = sorted(self._seconds)
        return ordered[(9 * len(ordered) + 9) // 10 - 1] if ordered else 0.0

    @property
    def used(self) -> float:
        """The share of the time in which the limit was in use."""
        return self._used / self.length if self.length > 0 else 0.0
