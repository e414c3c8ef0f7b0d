"""The time by the drain's clock, which ends holds, as far as its announcements tell."""

import time

from gateway.state.drain.recent_least import RecentLeast


class DrainClock:
    """Tells the drain's time on a clock of this machine that nobody sets.

    An announcement takes a while, so the latest time among those of the last seconds is nearest
    to the truth. If the drain's clock is set back, this takes up to ten seconds to notice. While
    the drain announces nothing, its clock is taken to go on.
    """

    def __init__(self) -> None:
        self._behind = RecentLeast(5, 2)
        self._offset: float | None = None

    def heard(self, told_at: float, now: float) -> None:
        """Note an announcement of `told_at`, a Unix time, at `now` on a monotonic clock."""
        self._behind.note(now - told_at, now)
        behind = self._behind.least(now)
        assert behind is not None  # noqa: S101 it was just noted
        self._offset = -behind

    def now(self) -> float:
        """Return the Unix time of the drain; that of this machine before it has told its own."""
        return time.time() if self._offset is None else time.monotonic() + self._offset
