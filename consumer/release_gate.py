"""The gate in front of the database: it releases orders at the set pace, and counts them."""

import asyncio
import select
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from consumer.clock.drain_clock import DrainClock
from consumer.clock.pace_clock import PaceClock
from consumer.drain_control import DrainControl
from flashsale.domain.pacing import Pacer

# The event loop is up to a millisecond late, a sleeping thread a tenth of that. With 40 batches a
# second the event loop alone would cost 0.1 % of the rate.
_PRECISE_SECONDS = 0.003
# A Unix time as a float has steps of a quarter of a microsecond: less of it never passes.
_SHORTEST_SECONDS = 1e-5
_LONGEST_SECONDS = 1.0  # the delay is infinite until a commit is seen


def _sleep_precisely(seconds: float) -> None:
    # Not time.sleep, which waits until a moment instead of for a duration: what shifts a process's
    # clock, as libfaketime does, shifts that moment, or makes it one that the kernel refuses.
    select.select((), (), (), seconds)


class ReleaseLog:
    """The largest number of orders released in any second, measured without the pacer."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque()
        self._in_last_second = 0
        self.total = 0
        self.max_in_one_second = 0

    def add(self, now: float, count: int) -> None:
        """Count `count` orders that were released at `now`, in seconds."""
        self._recent.append((now, count))
        self._in_last_second += count
        while self._recent[0][0] <= now - 1:
            self._in_last_second -= self._recent.popleft()[1]
        self.total += count
        self.max_in_one_second = max(self.max_in_one_second, self._in_last_second)


class ReleaseGate:
    """Holds orders back until the pace allows them."""

    def __init__(self, control: DrainControl) -> None:
        """Pace to the rate of `control`, and follow its changes."""
        self._control = control
        self._pacer = Pacer(control.rate, control.batch, control.batch_when_late)
        self._wait: asyncio.Future[None] | None = None
        control.on_change(self._change)
        self._sleeper = ThreadPoolExecutor(1, thread_name_prefix="pace")
        self.log = ReleaseLog()
        self.clock = DrainClock()
        self._pace_clock = PaceClock(self.clock)
        self.released_at = 0.0
        """When the latest orders were released, in Unix seconds by the clock of the drain."""

    async def wait_open(self, count: int = 1) -> None:
        """Wait until the pace allows `count` orders, or `most_at_once` if that is less."""
        await self._until_none(lambda now: self._pacer.delay(now, count))

    @property
    def most_at_once(self) -> int:
        """How many orders one transaction can have inside the pace."""
        return self._pacer.most_at_once

    def release(self, wanted: int, *, whole: bool = False) -> int:
        """Release up to `wanted` orders now, and return how many.

        They are at most one batch, or with `whole` at most `most_at_once`.

        Call `committed` after their transactions, and `wait_to_commit` before if these can wait.
        Until then they hold their places in the pace.
        """
        now = self._pace_clock.now()
        count = self._pacer.begin(now, wanted, self.most_at_once if whole else None)
        if count:
            self.log.add(time.monotonic(), count)
            self.released_at = self._pace_clock.drain_time
        return count

    async def wait_to_commit(self) -> None:
        """Wait until the pace allows the commit. Call it last in the transaction."""
        self._pacer.written(self._pace_clock.now())
        await self._until_none(self._pacer.commit_delay)

    def committed(self) -> None:
        """Note that the transactions of all released orders have ended by now, in any way.

        If the outcome is unknown, call this when that is known. The session is lost then, and who
        holds the lease next waits until the database has ended it.
        """
        self._pacer.committed(self._pace_clock.now())
        self._wake()

    def _change(self) -> None:
        control = self._control
        now = self._pace_clock.now()
        self._pacer.change(control.rate, now, control.batch, control.batch_when_late)
        self._wake()  # the new rate may allow orders earlier

    def _wake(self) -> None:
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)

    async def _until_none(self, delay_at: Callable[[float], float]) -> None:
        while (delay := delay_at(self._pace_clock.now())) > 0:
            if delay > _PRECISE_SECONDS:
                await self._sleep(min(delay, _LONGEST_SECONDS) - _PRECISE_SECONDS)
            else:
                loop = asyncio.get_running_loop()
                delay = max(delay, _SHORTEST_SECONDS)
                await loop.run_in_executor(self._sleeper, _sleep_precisely, delay)

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._wait = loop.create_future()
        end = loop.call_later(seconds, _end, self._wait)
        try:
            await self._wait
        finally:
            end.cancel()

    def close(self) -> None:
        """Shut down the thread that sleeps."""
        self._sleeper.shutdown(wait=False)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
