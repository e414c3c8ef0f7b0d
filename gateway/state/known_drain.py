"""What the drain may do and what it does, as it announced last."""

import time

from gateway.state.clock_skew import ClockSkew

# A skew below this is as likely a late announcement as a wrong clock.
_WRONG_SECONDS = 0.5


class KnownDrain:
    """The drain's limit and speed, in orders a second.

    Until the drain has announced a batch, it is trusted to be as fast as the setting allows.
    """

    def __init__(self, drain_rate: int) -> None:
        self.drain_rate = drain_rate
        """The limit in force."""
        self.drained_per_second: float = drain_rate
        """The measurement; while the drain is not behind, it is the limit."""
        self.clock_skew = ClockSkew()

    def now(self) -> float:
        """Return the Unix time by the clock of the drain, which decides whether a sale is open.

        It is the time of this machine unless the clocks differ by half a second or more, as far
        as announcements of the last half a minute tell.
        """
        skew = self.clock_skew.seconds(time.monotonic())
        if skew is None or abs(skew) < _WRONG_SECONDS:
            return time.time()
        return time.time() - skew
