"""The gate in front of the receiver: when attempts may begin, and what their answers change."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from consumer.drain_control import DrainControl
from flashsale.domain.delivery.answers import Answer, Busy, Taken
from flashsale.domain.delivery.attempt_pace import AttemptPace
from flashsale.domain.delivery.breaker import Breaker, BreakerState
from flashsale.domain.delivery.quiet_time import QuietTime
from flashsale.observability.delivery_metrics import DeliveryMetrics

log = structlog.get_logger()

# As the batches of the drain: on a busy machine a process wakes up late, and begins one burst then.
_BURST_SECONDS = 0.025
# On time fewer begin at once: those of a burst wait for each other, and hold their places.
_STEP_SECONDS = 0.005
_LONGEST_SECONDS = 0.1  # a ramp moves on, and so does the time of the lease
_FOLLOW_SECONDS = 0.05


class Begun(msgspec.Struct, frozen=True):
    """Attempts that begin at one moment, in seconds of the monotonic clock."""

    count: int
    at: float
    probe: bool


class AttemptGate:
    """Holds attempts back until pace, breaker and quiet time allow them.

    It lasts longer than a lease, as the receiver has seen the attempts of earlier leases.
    """

    def __init__(self, control: DrainControl, size: int, metrics: DeliveryMetrics) -> None:
        """Follow the rate of `control`; a request has at most `size` orders."""
        self._control = control
        self._size = size
        self._metrics = metrics
        self._pace = AttemptPace(control.rate, self._burst, self._step)
        self._breaker = Breaker()
        self._quiet = QuietTime()
        self._state = BreakerState.CLOSED
        self._followed_at = -math.inf
        self._changed = asyncio.Event()
        control.on_change(self._change)
        metrics.in_flight.set_function(lambda: self._pace.in_flight)

    @property
    def in_flight(self) -> int:
        """The attempts that have begun and not ended."""
        return self._pace.in_flight

    @property
    def takes(self) -> bool:
        """Whether the receiver wants orders now, or may do so."""
        return self.closed_seconds <= 0

    @property
    def closed_seconds(self) -> float:
        """The seconds until the receiver is to hear anything; 0 for now."""
        now = time.monotonic()
        self.follow(now)
        return max(self._breaker.delay(now), self._quiet.delay(now))

    def delay(self, now: float, count: int) -> float:
        """Return the seconds until `count` attempts may begin, a whole request if that is less."""
        self.follow(now)
        return max(
            self._pace.delay(now, min(count, self._size)),
            self._breaker.delay(now),
            self._quiet.delay(now),
        )

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until something has changed."""
        self._changed.clear()
        # Lighter than a timeout: this is done for each request.
        loop = asyncio.get_running_loop()
        end = loop.call_later(min(seconds, _LONGEST_SECONDS), self._changed.set)
        try:
            await self._changed.wait()
        finally:
            end.cancel()

    def wake(self) -> None:
        """End a pause."""
        self._changed.set()

    def begin(self, wanted: int) -> Begun:
        """Begin up to `wanted` attempts now; the count is 0 if it is too early."""
        now = time.monotonic()
        self.follow(now)
        if self._breaker.delay(now) > 0 or self._quiet.delay(now) > 0:
            return Begun(0, now, False)
        count = self._pace.begin(now, 1 if self._state is BreakerState.PROBING else wanted)
        probe = self._breaker.begin(now) if count else False
        return Begun(count, now, probe)

    def end(self, begun: Begun, answers: Sequence[Answer], count: int) -> None:
        """End `count` of the attempts by their answers; none if the request was given up."""
        now = time.monotonic()
        self._pace.end(now, count)
        if answers:
            self._metrics.answered(answers, now - begun.at)
            self._hear(begun, answers, now)
            self._breaker.heard(answers, now)
            if not all(isinstance(answer, Taken) for answer in answers):
                self._followed_at = -math.inf  # it may be closed now
            self.follow(now)
        self.wake()

    def _hear(self, begun: Begun, answers: Sequence[Answer], now: float) -> None:
        busy = [answer for answer in answers if isinstance(answer, Busy)]
        was_quiet = self._quiet.delay(now) > 0
        for answer in busy:
            self._quiet.busy(answer, begun.at, now)
        if not busy:
            self._quiet.heard(begun.at)
        elif not was_quiet:
            log.warning(
                "the receiver is busy, and hears nothing for a while",
                seconds=round(self._quiet.delay(now), 3),
                reason=busy[0].reason,
            )

    def follow(self, now: float) -> None:
        """Take in what the breaker allows by now."""
        if now - self._followed_at < _FOLLOW_SECONDS:
            return
        self._followed_at = now
        state, cap = self._breaker.state(now), self._control.cap
        closed = max(self._breaker.delay(now), self._quiet.delay(now))
        self._control.resumes_at = now + closed if closed > 0 else None
        if state is BreakerState.CLOSED:
            self._control.limit_by_receiver(None)
        else:
            self._control.limit_by_receiver(max(1, self._breaker.rate(now, cap)))
        if state is not self._state:
            before, self._state = self._state, state
            self._metrics.breaker_is(state)
            _LOGS[state](before)

    @property
    def _burst(self) -> int:
        rate = self._control.rate
        return min(rate, max(1, self._size, round(rate * _BURST_SECONDS)))

    @property
    def _step(self) -> int:
        return min(self._burst, max(1, self._size, round(self._control.rate * _STEP_SECONDS)))

    def _change(self) -> None:
        self._pace.change(self._control.rate, time.monotonic(), self._burst, self._step)
        self.wake()


def _opened(before: BreakerState) -> None:
    log.error("the receiver fails: nothing is sent to it for a while", before=before.value)


def _probing(before: BreakerState) -> None:
    log.warning("the receiver is sent one order a second, until it takes one", before=before.value)


def _ramping(before: BreakerState) -> None:
    log.info("the receiver works again, and the rate comes back", before=before.value)


def _closed(before: BreakerState) -> None:
    log.info("the receiver has the full rate again", before=before.value)


_LOGS: dict[BreakerState, Callable[[BreakerState], None]] = {
    BreakerState.OPEN: _opened,
    BreakerState.PROBING: _probing,
    BreakerState.RAMPING: _ramping,
    BreakerState.CLOSED: _closed,
}
