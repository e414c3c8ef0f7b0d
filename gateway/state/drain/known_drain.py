"""What the drain may do and what it does, as it announced last."""

import math
import time

from gateway.state.drain.clock_skew import ClockSkew
from gateway.state.drain.drain_clock import DrainClock

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
        self.rate_reason: str | None = None
        """Why an adaptive limit is what it is; None if the limit is the cap at all times."""
        self._adapted = False
        self.resumes_at: float | None = None
        """Until when the drain takes nothing, in Unix seconds by its clock; None if it takes."""
        self.paused = False
        """Whether an operator has paused the drain."""
        self._own_rate = drain_rate  # of the drain's environment
        self._set_rate: int | None = None
        self.drained_per_second: float = drain_rate
        """The measurement; while the drain is not behind, it is the limit."""
        self.clock_skew = ClockSkew()
        self.clock = DrainClock()
        self._ahead = 0.0
        self._looked_at = -math.inf

    @property
    def rate_cap(self) -> int:
        """The highest limit: that of the operator, or of the environment."""
        return self._own_rate if self._set_rate is None else self._set_rate

    def announced(
        self,
        drained_per_second: float,
        drain_rate: int | None,
        rate_cap: int | None = None,
        rate_reason: str | None = None,
        resumes_at: float | None = None,
    ) -> None:
        """Take in what the drain announced about itself."""
        self.resumes_at = resumes_at
        self.drained_per_second = drained_per_second
        self.rate_reason = rate_reason
        if drain_rate is not None:
            cap = drain_rate if rate_cap is None else rate_cap
            self._adapted = drain_rate < cap
            self.drain_rate = drain_rate
            if self._set_rate is None:
                self._own_rate = cap

    @property
    def resumes_in(self) -> float:
        """The seconds until the drain takes orders again, as far as it knows; 0 if it takes."""
        return 0.0 if self.resumes_at is None else max(0.0, self.resumes_at - self.clock.now())

    def set_controls(self, paused: bool, rate: int | None) -> None:
        """Take in what an operator has set, before the drain announces that it follows."""
        if rate != self._set_rate:
            self._set_rate = rate
            # A drain whose database is slow does not go faster because it is allowed to.
            cap = self.rate_cap
            self.drain_rate = min(self.drain_rate, cap) if self._adapted else cap
        self.paused = paused

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
