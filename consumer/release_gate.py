"""The gate to the database: orders pass it at the pace, and it counts what passed."""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from consumer.drain_control import DrainControl
from flashsale.domain.pacing import Pacer

# The event loop wakes to the millisecond, a thread's sleep to a tenth of one. At 40 batches a
# second a late millisecond each costs 0.1 % of the rate.
_PRECISE_SECONDS = 0.003


class ReleaseLog:
    """The most that passed in any one second: a measurement, made without the pacer's help."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque()
        self._in_last_second = 0
        self.total = 0
        self.max_in_one_second = 0

    def add(self, now: float, count: int) -> None:
        """Note that `count` orders passed at `now`, in seconds."""
        self._recent.append((now, count))
        self._in_last_second += count
        while self._recent[0][0] <= now - 1:
            self._in_last_second -= self._recent.popleft()[1]
        self.total += count
        self.max_in_one_second = max(self.max_in_one_second, self._in_last_second)


class ReleaseGate:
    """Holds orders back until their time."""

    def __init__(self, control: DrainControl) -> None:
        """Pace to the rate of `control`, whatever it changes to."""
        self._control = control
        self._pacer = Pacer(control.rate, control.batch)
        self._wait: asyncio.Future[None] | None = None
        control.follow(self._change)
        self._sleeper = ThreadPoolExecutor(1, thread_name_prefix="pace")
        self.log = ReleaseLog()
        self.released_at = 0.0
        """When the latest orders passed, in Unix seconds."""

    async def opened(self, count: int = 1) -> None:
        """Wait until `count` orders may pass, or a whole batch if that is less."""
        while (delay := self._pacer.delay(time.monotonic(), count)) > 0:
            if delay > _PRECISE_SECONDS:
                await self._sleep(delay - _PRECISE_SECONDS)
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._sleeper, time.sleep, delay)

    def release(self, wanted: int) -> int:
        """Let up to `wanted` orders pass now; how many of them."""
        now, wall = time.monotonic(), time.time()
        count = self._pacer.take(now, wanted)
        if count:
            self.log.add(now, count)
            self.released_at = wall
        return count

    def _change(self) -> None:
        self._pacer.change(self._control.rate, time.monotonic(), self._control.batch)
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)  # it may open earlier now

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._wait = loop.create_future()
        end = loop.call_later(seconds, _end, self._wait)
        try:
            await self._wait
        finally:
            end.cancel()

    def close(self) -> None:
        """Let the sleeping thread go."""
        self._sleeper.shutdown(wait=False)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
