"""What the drain may do and what it does, as it announced last."""

import math
import time

from gateway.state.clock_skew import ClockSkew

# A skew below this is as likely a late announcement as a wrong clock.
_WRONG_SECONDS = 0.5
_LOOK_SECONDS = 0.1  # each order asks


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
        self._ahead = 0.0
        self._looked_at = -math.inf

    def now(self) -> float:
        """Return the Unix time by which sales open and close here.

        It is the time of this machine, but that of the drain if this machine is ahead of it by half
        a second or more: the drain would reject what was accepted before its own time. A machine
        that is behind keeps its time, as the clock of the drain may be the wrong one. Then no sale
        opens before both clocks say so.
        """
        moment = time.monotonic()
        if moment - self._looked_at >= _LOOK_SECONDS:
            skew = self.clock_skew.seconds(moment)
            self._ahead = 0.0 if skew is None or skew < _WRONG_SECONDS else skew
            self._looked_at = moment
        return time.time() - self._ahead
