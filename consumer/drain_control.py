"""The limits of the drain that are in force, for everything in the consumer that follows them."""

from collections.abc import Callable

from flashsale.domain.pacing import batch_of

_MOST_PREFETCHED = 65_535  # AMQP counts it in 16 bits


class DrainControl:
    """The rate of the drain, and what follows from it. It may change while the drain runs."""

    def __init__(self, rate: int, largest_batch: int | None = None) -> None:
        """Start at `rate` orders/s; a batch is a fortieth of it, or `largest_batch` if given."""
        self._rate = rate
        self._largest_batch = largest_batch
        self._followers: list[Callable[[], None]] = []

    @property
    def rate(self) -> int:
        """Orders/s that the database gets at most, in any second."""
        return self._rate

    @property
    def batch(self) -> int:
        """Orders in one transaction at most."""
        return batch_of(self._rate, self._largest_batch)

    @property
    def prefetch(self) -> int:
        """Unacknowledged deliveries: the next batches are on their way while one is decided."""
        return min(4 * self.batch, _MOST_PREFETCHED)

    def change(self, rate: int) -> None:
        """Put another rate in force, in orders/s: the very next batch obeys it."""
        self._rate = rate
        for follow in self._followers:
            follow()

    def follow(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change."""
        self._followers.append(changed)
