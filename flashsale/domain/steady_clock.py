"""A clock that follows another one, and never runs much faster or slower than time passes.

A clock of a machine is stepped: by an operator, by a time service that was away for long, or as the
database moves to another machine. Whatever ends at a certain time would end too early then, or far
too late. This clock counts time by itself, and approaches a clock that was stepped slowly.
"""

from dataclasses import dataclass

SLEW = 0.02
"""How much faster or slower this clock runs while it follows a step.

An hour at this clock is 59 to 61 minutes. A hold of 25 minutes ends 30 s off at most, which is the
grace of a hold.
"""

STEP_SECONDS = 0.5
"""From which difference on a clock was stepped. Below it clocks drift, or are adjusted."""

_STALE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The followed clock was at `time`, in Unix seconds, at some moment between two others.

    These are in seconds of the monotonic clock.
    """

    time: float
    asked_at: float
    answered_at: float


class SteadyClock:
    """A clock that follows the readings of another one. It reads no clock itself."""

    def __init__(self) -> None:
        self._offset: float | None = None
        # The monotonic clock plus any offset of this range may be the followed clock.
        self._least = 0.0
        self._most = 0.0
        self._heard_at = 0.0
        self._latest = 0.0
        self.behind = 0.0
        """Seconds by which the followed clock is ahead of this one; below 0 if it is behind."""

    def heard(self, reading: ClockReading) -> None:
        """Take in a reading. The first one sets the clock, as one after a minute without any."""
        least, most = reading.time - reading.answered_at, reading.time - reading.asked_at
        passed = reading.answered_at - self._heard_at
        self._heard_at = reading.answered_at
        if self._offset is None or passed > _STALE_SECONDS:
            # Of all times that may be right the latest: the other clock showed no later one yet, so
            # no sale that has opened there is still closed here.
            self._set(least, most, most)
            return
        low, high = max(least, self._least), min(most, self._most)
        if low <= high:
            self._least, self._most, self.behind = low, high, 0.0
            self._offset = min(high, max(low, self._offset))
            return
        behind = (least if self._offset < least else most) - self._offset
        moved = min(SLEW * passed, max(-SLEW * passed, behind))
        self._offset += moved
        self._least = self._most = self._offset
        self.behind = behind - moved

    def catch_up(self) -> float:
        """Go to the followed clock at once; return by how many seconds."""
        stepped = self.behind
        if self._offset is not None and stepped:
            offset = self._offset + stepped
            self._set(offset, offset, offset)
        return stepped

    def now(self, moment: float) -> float | None:
        """Return the Unix time at a moment of the monotonic clock; None before any reading.

        It goes back only if `catch_up` or the first reading after a long time sets it back.
        """
        if self._offset is None:
            return None
        self._latest = max(self._latest, moment + self._offset)
        return self._latest

    def _set(self, least: float, most: float, offset: float) -> None:
        self._least, self._most, self._offset = least, most, offset
        self._latest = self.behind = 0.0
