"""The quiet time: a receiver that is busy (429, 503) hears nothing at all for a while."""

from flashsale.domain.delivery.answers import Busy

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 60.0


class QuietTime:
    """Holds all attempts back after a `Busy`, for the larger of its time and a back-off of our own.

    The back-off doubles from 0.5 s to 60 s with each quiet time that was followed by another, and
    begins anew after an answer that is not `Busy`. Attempts that were in flight when a quiet time
    began tell nothing about its end: they can only make it longer.

    It reads no clock: `now` is in seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._until = float("-inf")
        self._own = FIRST_SECONDS

    def delay(self, now: float) -> float:
        """Return the seconds from `now` until attempts may begin; 0 for now."""
        return max(0.0, self._until - now)

    def busy(self, answer: Busy, began_at: float, now: float) -> None:
        """Note that an attempt that began at `began_at` was answered so."""
        asked = min(answer.seconds or 0.0, LONGEST_SECONDS)
        if began_at < self._until:
            self._until = max(self._until, now + asked)
            return
        self._until = now + max(asked, self._own)
        self._own = min(2 * self._own, LONGEST_SECONDS)

    def heard(self, began_at: float) -> None:
        """Note that an attempt that began at `began_at` was answered by anything else."""
        if began_at >= self._until:
            self._own = FIRST_SECONDS
