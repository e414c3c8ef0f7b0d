"""The circuit breaker: a receiver that fails is left alone, and then approached with care."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flashsale.domain.delivery.answers import (
    Answer,
    Refused,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
)

WINDOW_SECONDS = 30.0
LEAST_REQUESTS = 20
FAILING_SHARE = 0.7
REFUSED_IN_A_ROW = 5
OPEN_SECONDS = 30.0
PROBE_SECONDS = 1.0
RAMP_SECONDS = 10.0
_ROUNDING = 1e-9
_DECIDED = (Taken, Refused, Undeliverable)


class BreakerState(StrEnum):
    """The state of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    """No request at all."""
    PROBING = "probing"
    """One request a second, until one succeeds."""
    RAMPING = "ramping"
    """From nothing to the full rate."""


@dataclass(slots=True)
class _Second:
    """The requests that were answered in a whole second."""

    at: int
    requests: int = 0
    failed: float = 0.0


class Breaker:
    """Opens when 70 % of at least 20 requests in 30 s failed, or five in a row got no connection.

    It is open for 30 s. Then one request a second is a probe. The first that succeeds starts a ramp
    of 10 s up to the full rate, during which the breaker may open again.

    A success is any decision about an order: the receiver works. An answer that it is busy is no
    failure, and has a quiet time of its own.

    It reads no clock: `now` is in seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._unreached = 0
        self._opened_at = -math.inf
        self._probed_at = -math.inf
        self._ramp_at: float | None = -math.inf
        """When the last ramp began; None from the opening to the first success."""

    def state(self, now: float) -> BreakerState:
        """Return the state at `now`."""
        if self._ramp_at is not None:
            ramping = now < self._ramp_at + RAMP_SECONDS
            return BreakerState.RAMPING if ramping else BreakerState.CLOSED
        is_open = now < self._opened_at + OPEN_SECONDS
        return BreakerState.OPEN if is_open else BreakerState.PROBING

    def rate(self, now: float, full: int) -> int:
        """Return how many orders a second may be sent now, of the `full` rate: 0 if it is open."""
        match self.state(now):
            case BreakerState.CLOSED:
                return full
            case BreakerState.OPEN:
                return 0
            case BreakerState.PROBING:
                return 1
            case BreakerState.RAMPING:
                assert self._ramp_at is not None  # noqa: S101 by the state
                return max(1, int(full * (now - self._ramp_at) / RAMP_SECONDS))

    def delay(self, now: float) -> float:
        """Return the seconds from `now` until a request may begin; 0 for now."""
        match self.state(now):
            case BreakerState.OPEN:
                return self._opened_at + OPEN_SECONDS - now
            case BreakerState.PROBING:
                return max(0.0, self._probed_at + PROBE_SECONDS - now)
            case _:
                return 0.0

    def begin(self, now: float) -> bool:
        """Note that a request begins; return whether it is a probe.

        A probe has one order only, and its failure is no attempt of that order: else each second
        would bring an order nearer to its last attempt.
        """
        probe = self.state(now) is BreakerState.PROBING
        if probe:
            self._probed_at = now
        return probe

    def heard(self, answers: Sequence[Answer], now: float) -> None:
        """Note the answers to one request. It counts as failed by the share of its failures."""
        good = len([answer for answer in answers if isinstance(answer, _DECIDED)])
        bad = [answer for answer in answers if isinstance(answer, TryAgain) and _failed(answer)]
        if not good and not bad:
            return
        unreached = not good and all(not answer.unknown for answer in bad)
        self._unreached = self._unreached + 1 if unreached else 0
        match self.state(now):
            case BreakerState.OPEN:
                pass  # it was sent before
            case BreakerState.PROBING:
                if good:
                    self._ramp_at = now
                    self._forget()
            case _:
                self._count(now, len(bad) / (good + len(bad)))
                if self._unreached >= REFUSED_IN_A_ROW or self._fails():
                    self._opened_at = now
                    self._ramp_at = None
                    self._forget()

    def _count(self, now: float, failed: float) -> None:
        second = math.floor(now)
        if not self._seconds or self._seconds[-1].at != second:
            self._seconds.append(_Second(second))
        self._seconds[-1].requests += 1
        self._seconds[-1].failed += failed
        while self._seconds[0].at <= second - WINDOW_SECONDS:
            self._seconds.popleft()

    def _fails(self) -> bool:
        requests = sum(second.requests for second in self._seconds)
        failed = sum(second.failed for second in self._seconds)
        return requests >= LEAST_REQUESTS and failed >= FAILING_SHARE * requests - _ROUNDING

    def _forget(self) -> None:
        self._seconds.clear()
        self._unreached = 0


def _failed(answer: TryAgain) -> bool:
    return answer.trouble is not Trouble.STILL_AT_FIRST  # a receiver at work is no broken one
