"""The line before the database, by tickets: an order's number less how many were served."""

import time

_STILL_SECONDS = 3.0
_COUNTS_UNTIL_EMPTY = 10


class Line:
    """Who waits, in the order in which they came.

    An order draws the next number, and `served` counts up as orders are decided: the place in line
    is the difference, so it never grows. With one gateway it is exact. With several, an order that
    another took a moment ago and has not told of yet is missing from it.
    """

    def __init__(self, drain_rate: float) -> None:
        """`drain_rate`, in orders a second, is what the drain may do; see `heard`."""
        self.served = 0
        self.waiting = 0
        # Orders in the queue that nobody told us of: they were there before this gateway.
        self.strangers = 0
        self.drain_rate = drain_rate
        self._moved_at = time.monotonic()
        self._empty_counts = 0

    def join(self) -> int:
        """An order was taken; its number."""
        if self.waiting == 0:
            self._moved_at = time.monotonic()
        self.waiting += 1
        return self.served + self.strangers + self.waiting

    def leave(self) -> None:
        """An order that had joined was decided."""
        self.waiting -= 1
        self.served += 1
        self._moved_at = time.monotonic()

    def leave_unknown(self) -> None:
        """An order that had not joined was decided."""
        if self.strangers:
            self.strangers -= 1
            self.served += 1
        self._moved_at = time.monotonic()

    def forget(self) -> None:
        """An order that had joined is in line, but not remembered any more."""
        self.waiting -= 1
        self.strangers += 1

    def counted(self, ready: int) -> None:
        """The broker counted its queue: if that stays empty, there are no strangers in it."""
        self._empty_counts = 0 if ready else self._empty_counts + 1
        if self.strangers and self._empty_counts >= _COUNTS_UNTIL_EMPTY:
            self.served += self.strangers
            self.strangers = 0

    def position(self, number: int) -> int:
        """The place in line of the order of that number: 1 is next."""
        return max(1, number - self.served)

    def eta_seconds(self, position: int, drains: int) -> float | None:
        """When the order at that place is decided; None if nobody drains, or nothing moves.

        `drains` is how many consumers the queue has.
        """
        if drains == 0 or self.drain_rate <= 0:
            return None
        still = time.monotonic() - self._moved_at
        if still > _STILL_SECONDS + 2 / self.drain_rate and (self.waiting or self.strangers):
            return None
        # To the hundredth, rounded by hand: round() takes as long as all the rest.
        return int(100 * position / self.drain_rate + 0.5) / 100
