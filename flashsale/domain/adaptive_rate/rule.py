"""The rule of the adaptive rate: additive increase, multiplicative decrease (AIMD).

It raises the rate only while the drain makes use of it, as a limit that nobody has tried says
nothing (RFC 7661 has the same rule for TCP). It has no baseline that it compares with: the target
is a number that an operator has set.
"""

import math
from typing import Literal, get_args

from flashsale.domain.adaptive_rate.batches import (
    WINDOW_BATCHES,
    WINDOW_SECONDS,
    BatchSeen,
    BatchWindow,
)

Failure = Literal["busy", "timeout"]
RateReason = Literal["cap", "slow", "busy", "timeout", "recovering", "inherited"]
"""Why the rate is what it is.

`cap`: it is the operator's rate. `slow`: transactions took longer than the target. `busy`: the
database has refused a batch for a temporary reason. `timeout`: it did not answer in time.
`recovering`: transactions are within the target again. `inherited`: from the drain before.
"""
RATE_REASONS: tuple[RateReason, ...] = get_args(RateReason)

_SLOW_FACTOR = 0.9
_FAILED_FACTOR = 0.5
_RAISE_PER_SECOND = 0.02
_USED_SHARE = 0.9
_FLOOR_SHARE = 10
# With one order a second, ten batches take this long.
_LONGEST_RAISE_SECONDS = 10.0
_ROUNDING = 1e-9
# Twice in a window. More often, the batches before a decision would count for several ones.
_DECISION_SECONDS = WINDOW_SECONDS / 2
_DECISION_BATCHES = WINDOW_BATCHES // 2


class AdaptiveRate:
    """The rate of a drain between a tenth of its cap and its cap, the operator's rate.

    It judges the last second, or the last ten batches if those took longer, twice in that time. The
    p90 of the transactions above the target: a tenth less. A failed batch: half at once, but only
    once in that time. Otherwise 2 % of the cap more for each second, if 90 % of the rate was used
    and orders wait. It reads no clock.
    """

    def __init__(self, target: float) -> None:
        """`target` is the duration in seconds that a transaction may take."""
        self._target = target
        self._window = BatchWindow()
        self._why: RateReason = "inherited"
        self._failure: Failure = "busy"
        self._halved = False
        self._decided_at: float | None = None
        self._since = 0
        self.kept: float | None = None
        """The rate to go on with, in orders/s. None: the cap."""
        self.p90 = 0.0
        """The p90 of the last decision, in seconds."""

    def resume(self, kept: float | None) -> None:
        """Go on with the rate that a drain has kept, and judge only batches from now on."""
        if kept != self.kept:
            self._why = "inherited"
        self.kept = kept
        self._restart(None)

    def batch(self, seen: BatchSeen, cap: int) -> bool:
        """Count a committed batch; return whether a decision was due. `cap` is in orders/s."""
        self._window.add(seen, rate_within(self.kept, cap))
        return self._decide(seen.ended_at, cap)

    def failed(self, now: float, why: Failure, cap: int) -> None:
        """Count a batch that has failed. The first one halves the rate at once.

        Later ones do so when the next decision is due: a single stall may fail several batches.
        """
        self._failure = why
        if self._halved:
            self._window.add_failure(now)
            self._decide(now, cap)
        else:
            self._halve(now, cap)

    def reason(self, cap: int) -> RateReason:
        """Return why the rate is what it is."""
        return "cap" if rate_within(self.kept, cap) == cap else self._why

    def _decide(self, now: float, cap: int) -> bool:
        window = self._window
        self._since += 1
        if self._decided_at is None:
            self._decided_at = now - window.length
        passed = now - self._decided_at
        if not window.whole or passed < _DECISION_SECONDS or self._since < _DECISION_BATCHES:
            return False
        self.p90 = window.p90
        if window.failed:
            self._halve(now, cap)
            return True
        if self.p90 > self._target:
            self._lower(_SLOW_FACTOR, "slow", cap)
        elif window.used >= _USED_SHARE and window.waiting:
            self._raise(min(passed, window.length), cap)
        self._halved = False
        self._decided_at, self._since = now, 0
        return True

    def _halve(self, now: float, cap: int) -> None:
        self._lower(_FAILED_FACTOR, self._failure, cap)
        self._halved = True
        self._restart(now)

    def _restart(self, now: float | None) -> None:
        self._window.restart(now)
        self._decided_at, self._since = now, 0

    def _lower(self, factor: float, why: RateReason, cap: int) -> None:
        floor = _floor(cap)
        lower = max(floor, factor * max(floor, min(_number(self.kept), cap)))
        self.kept = lower if lower < cap else None
        self._why = why

    def _raise(self, seconds: float, cap: int) -> None:
        if self.kept is None or self.kept >= cap:
            return  # nothing is known about a rate above the cap
        seconds = min(seconds, _LONGEST_RAISE_SECONDS)
        higher = max(_floor(cap), self.kept) + _RAISE_PER_SECOND * cap * seconds
        self.kept = higher if higher < cap - _ROUNDING else None
        self._why = "recovering"


def rate_within(kept: float | None, cap: int) -> int:
    """Return the rate in force: `kept`, but at most `cap` and at least a tenth of it."""
    return max(_floor(cap), cap if kept is None else min(cap, math.floor(kept + _ROUNDING)))


def lower_of(one: float | None, other: float | None) -> float | None:
    """Return the lower one of two kept rates."""
    lower = min(_number(one), _number(other))
    return None if lower == math.inf else lower


def _number(kept: float | None) -> float:
    return math.inf if kept is None else kept


def _floor(cap: int) -> int:
    return -(-cap // _FLOOR_SHARE)
