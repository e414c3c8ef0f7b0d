"""The limits of the drain that are in force now."""

from collections.abc import Callable

from flashsale.domain.controls import Controls
from flashsale.domain.pacing import batch_of

_MAX_PREFETCH = 65_535  # a 16-bit field of AMQP


class DrainControl:
    """The rate of the drain and the sizes that depend on it. The rate may change at any time."""

    def __init__(self, rate: int, largest_batch: int | None = None) -> None:
        """Start at `rate` orders/s; a batch is a fortieth of it, or `largest_batch` if given."""
        self._own_rate = self._rate = rate
        self.paused = False
        """Whether an operator has paused the drain."""
        self._largest_batch = largest_batch
        self._listeners: list[Callable[[], None]] = []

    @property
    def rate(self) -> int:
        """The most orders that may go to the database in any second."""
        return self._rate

    @property
    def batch(self) -> int:
        """The most orders in one transaction."""
        return batch_of(self._rate, self._largest_batch)

    @property
    def prefetch(self) -> int:
        """The most unacknowledged deliveries: four batches, so that the next ones are at hand."""
        return min(4 * self.batch, _MAX_PREFETCH)

    def change(self, rate: int) -> None:
        """Set another rate in orders/s. It holds from the next batch on."""
        self._rate = rate
        for listener in self._listeners:
            listener()

    def follow(self, controls: Controls) -> bool:
        """Take in what an operator has set; return whether that changed anything."""
        rate = self._own_rate if controls.rate is None else controls.rate
        changed = (self.paused, self._rate) != (controls.paused, rate)
        self.paused = controls.paused
        if rate != self._rate:
            self.change(rate)
        return changed

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)
