"""The clock of the drain. By it holds end, sales open and close, and orders are decided."""

import time

import structlog

from flashsale.domain.steady_clock import STEP_SECONDS, ClockReading, SteadyClock

log = structlog.get_logger()


class DrainClock:
    """A steady clock that follows the clock of the database, or of this machine without a server.

    So a wrong clock of this machine ends no hold, and neither does a drain of another machine that
    takes over. If the database's clock is stepped, this one follows at once if nothing is held, and
    slowly else.
    """

    def __init__(self) -> None:
        self._clock = SteadyClock()
        self._reading: ClockReading | None = None
        self._stepped = False

    @property
    def behind(self) -> float:
        """Seconds by which the database's clock is ahead of this one; below 0 if it is behind."""
        return self._clock.behind

    def now(self) -> float:
        """Return the Unix time; that of this machine before the database has told any."""
        at = self._clock.now(time.monotonic())
        return time.time() if at is None else at

    def follow(self, reading: ClockReading | None) -> None:
        """Take in the latest reading of the database's clock. The same one counts once."""
        if reading is None or reading is self._reading:
            return
        self._reading = reading
        self._clock.heard(reading)
        stepped = abs(self.behind) >= STEP_SECONDS
        if stepped and not self._stepped:
            log.warning(
                "the clock of the database was stepped: holds end by the old one, and the drain"
                " follows slowly, or as soon as nothing is held",
                seconds=round(self.behind, 3),
            )
        self._stepped = stepped

    def catch_up(self) -> None:
        """Follow a step at once. Call it while nothing is held."""
        stepped = self._clock.catch_up()
        if self._stepped:
            log.warning("the drain follows the clock of the database", seconds=round(stepped, 3))
        self._stepped = False
