"""Positions in the queue, by ticket numbers: an order's number less the count of served orders."""

import time

from gateway.state.drain.known_drain import KnownDrain

_STILL_SECONDS = 3.0
_COUNTS_UNTIL_EMPTY = 10


class QueuePosition:
    """Counts the orders that wait, in the order in which they came.

    An order draws the next number, and `served` grows as orders are decided: the position is the
    difference, so it never grows. With one gateway it is exact. With several it lacks the orders
    that another gateway took a moment ago and has not announced yet.
    """

    def __init__(self, drain: KnownDrain) -> None:
        self._drain = drain
        self.served = 0
        self.waiting = 0
        self.unannounced = 0
        """Orders in the queue whose announcement this gateway did not hear."""
        self._moved_at = time.monotonic()
        self._empty_counts = 0

    def join(self) -> int:
        """Return the number of an order that was taken."""
        if self.waiting == 0:
            self._moved_at = time.monotonic()
        self.waiting += 1
        return self.served + self.unannounced + self.waiting

    def leave(self, orders: int = 1) -> None:
        """Count so many orders as served that had joined."""
        if orders:
            self.waiting -= orders
            self.served += orders
            self._moved_at = time.monotonic()

    def leave_unannounced(self) -> None:
        """Count an order as served that had not joined."""
        if self.unannounced:
            self.unannounced -= 1
            self.served += 1
        self._moved_at = time.monotonic()

    def forget(self) -> None:
        """Keep the place of an order that had joined and is no longer remembered."""
        self.waiting -= 1
        self.unannounced += 1

    def recount(self, ready: int) -> None:
        """Take in a count of the queue after announcements may have been missed.

        Orders that are not known to wait were not announced.
        """
        unannounced = max(0, ready - self.waiting)
        self.served += max(0, self.unannounced - unannounced)
        self.unannounced = unannounced

    def note_count(self, ready: int) -> None:
        """Take in a count of the queue. While it stays empty, no unannounced order is in it."""
        self._empty_counts = 0 if ready else self._empty_counts + 1
        if self.unannounced and self._empty_counts >= _COUNTS_UNTIL_EMPTY:
            self.served += self.unannounced
            self.unannounced = 0

    def of(self, number: int) -> int:
        """Return the position of the order with that number: 1 is next."""
        return max(1, number - self.served)

    def drained_per_second(self, consumers: int) -> float | None:
        """Return the drain's measured speed in orders a second, None if nothing moves.

        `consumers` is how many consumers the queue has.
        """
        speed = self._drain.drained_per_second
        if consumers == 0 or speed <= 0 or self._drain.paused or self._drain.resumes_in > 0:
            return None
        still = time.monotonic() - self._moved_at
        if still > _STILL_SECONDS + 2 / speed and (self.waiting or self.unannounced):
            return None
        return speed

    def eta_seconds(self, position: int, consumers: int) -> float | None:
        """Return the seconds until the order at that position is decided, None if nothing moves."""
        speed = self.drained_per_second(consumers)
        if speed is None:
            return None
        # To the hundredth, rounded by hand: round() takes as long as all the rest.
        return int(100 * position / speed + 0.5) / 100
