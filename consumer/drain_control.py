"""The limits of the drain that are in force now."""

from collections.abc import Callable
from typing import Literal

from flashsale.domain.adaptive_rate import RateReason, rate_within
from flashsale.domain.controls import Controls
from flashsale.domain.pacing import batch_of

_MAX_PREFETCH = 65_535  # a 16-bit field of AMQP


LimitReason = RateReason | Literal["receiver"]
"""Why the rate is what it is. `receiver`: the receiver of the orders fails, or recovers."""


class DrainControl:
    """The rate of the drain and the sizes that depend on it. The rate may change at any time.

    The cap is the rate of the environment, or that of an operator. The adaptive rate may be lower,
    and so may be what a receiver can take.
    """

    def __init__(
        self, rate: int, largest_batch: int | None = None, *, batches_when_late: int = 1
    ) -> None:
        """Start at `rate` orders/s; a batch is a fortieth of it, or `largest_batch` if given.

        A drain that is late may put so many batches in one transaction.
        """
        self._own_rate = self._cap = self._rate = rate
        self._adapted: float | None = None
        self._of_receiver: int | None = None
        self.paused = False
        """Whether an operator has paused the drain."""
        self.reason: LimitReason | None = None
        """Why the rate is what it is; None if it is always the cap."""
        self.resumes_at: float | None = None
        """Until when nothing is taken from the queue, in seconds of the monotonic clock, if so."""
        self._largest_batch = largest_batch
        self._batches_when_late = batches_when_late
        self._listeners: list[Callable[[], None]] = []

    @property
    def cap(self) -> int:
        """The highest rate, in orders/s."""
        return self._cap

    @property
    def rate(self) -> int:
        """The most orders that may go to the database in any second."""
        return self._rate

    @property
    def batch(self) -> int:
        """The most orders in one transaction. A lower adaptive rate has smaller batches, as many.

        Fewer batches of the same size would be as slow as before.
        """
        return max(1, self._batch_at_cap * self._rate // self._cap)

    @property
    def batch_when_late(self) -> int:
        """The most orders in one transaction of a drain that is late."""
        return min(self._batches_when_late * self.batch, self._rate)

    @property
    def prefetch(self) -> int:
        """The most unacknowledged deliveries: four batches, so that the next ones are at hand.

        It depends on the cap alone, as another prefetch needs another consumer on the queue.
        """
        return min(4 * self._batch_at_cap, _MAX_PREFETCH)

    @property
    def _batch_at_cap(self) -> int:
        return batch_of(self._cap, self._largest_batch)

    def change(self, cap: int) -> None:
        """Set another cap in orders/s. It holds from the next batch on."""
        self._cap = cap
        self._limit()

    def adapt(self, rate: float | None, reason: RateReason) -> None:
        """Set the adaptive rate in orders/s, None for the cap. It holds from the next batch on."""
        self._adapted = rate
        self.reason = reason
        if rate_within(rate, self._cap) != self._rate:
            self._limit()

    def limit_by_receiver(self, rate: int | None) -> None:
        """Set the most orders/s that the receiver is sent, None for the cap."""
        if rate != self._of_receiver:
            self._of_receiver = rate
            self.reason = None if rate is None else "receiver"
            self._limit()

    def _limit(self) -> None:
        rate = rate_within(self._adapted, self._cap)
        self._rate = rate if self._of_receiver is None else min(rate, self._of_receiver)
        for listener in self._listeners:
            listener()

    def follow(self, controls: Controls) -> bool:
        """Take in what an operator has set; return whether that changed anything."""
        cap = self._own_rate if controls.rate is None else controls.rate
        changed = (self.paused, self._cap) != (controls.paused, cap)
        self.paused = controls.paused
        if cap != self._cap:
            self.change(cap)
        return changed

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)
