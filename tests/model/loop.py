"""An event loop whose order is drawn from a seed and whose time is a number.

Nothing here waits: when no callback is ready, time jumps to the next timer. So a run is a matter
of its seed alone, and the same seed plays it again.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, cast

from tests.model.clock import Clock

IN_ORDER = 0
"""The seed by which callbacks run in the order in which they became ready, as asyncio has it."""


T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TURN_SECONDS = 1e-6


class SeededLoop(asyncio.BaseEventLoop):
    """Runs one callback at a time, of those that are ready the one that the seed picks."""

    def __init__(self, clock: Clock, seed: int) -> None:
        super().__init__()
        self._clock = clock
        self._pick = random.Random(seed).random if seed != IN_ORDER else lambda: 0.0
        self._in_order = seed == IN_ORDER
        self._runnable: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_number = 0
        self.failures: list[str] = []
        """What ended a callback, or a task that nobody asked."""
        self.set_exception_handler(lambda _, context: self.failures.append(str(context)))

    def time(self) -> float:
        return self._clock.now

    def get_debug(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._runnable.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_number += 1
        heapq.heappush(self._timers, (when, self._timer_number, timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._clock.now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """There are no threads: what would take time in one takes it here."""
        done = self.create_future()
        done.set_result(func(*args))
        return done

    def turns(self, most: int) -> int:
        """Run up to so many ready callbacks, at the time that it is; how many there were."""
        asyncio._set_running_loop(self)
        try:
            for turn in range(most):
                if not self._turn():
                    return turn
            return most
        finally:
            asyncio._set_running_loop(None)

    def forward(self, seconds: float) -> None:
        """Run everything that is ready until that much later."""
        end = self._clock.now + seconds
        asyncio._set_running_loop(self)
        try:
            while True:
                while self._turn():
                    pass
                if not self._timers or self._timers[0][0] > end:
                    break
                self._clock.now = max(self._clock.now, self._timers[0][0])
                self._ring()
            self._clock.now = max(self._clock.now, end)
        finally:
            asyncio._set_running_loop(None)

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Run until that is so, for at most so many seconds; whether it is."""
        end = self._clock.now + seconds
        asyncio._set_running_loop(self)
        try:
            while not done():
                if self._turn():
                    continue
                if not self._timers or self._timers[0][0] > end:
                    return done()
                self._clock.now = max(self._clock.now, self._timers[0][0])
                self._ring()
            return True
        finally:
            asyncio._set_running_loop(None)

    def finish(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run everything until this is done; its result."""
        task = self.create_task(coroutine)
        assert self.until(task.done, seconds=60), f"{coroutine} never ends"
        return task.result()

    def at_once(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run this, which must not wait, while everything else stands still; its result."""
        asyncio._set_running_loop(self)
        try:
            coroutine.send(None)
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            asyncio._set_running_loop(None)
        coroutine.close()
        raise AssertionError(f"{coroutine} waits")

    def _ring(self) -> None:
        while self._timers and self._timers[0][0] <= self._clock.now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                self._runnable.append(timer)

    def _turn(self) -> bool:
        runnable = self._runnable
        if self._timers and self._timers[0][0] <= self._clock.now:
            self._ring()
        if not runnable:
            return False
        if self._in_order:
            handle = runnable.pop(0)
        else:
            at = int(self._pick() * len(runnable))
            runnable[at], runnable[-1] = runnable[-1], runnable[at]
            handle = runnable.pop()
        # Without it, who waits for a moment that rounding puts at the present waits for ever.
        self._clock.now += _TURN_SECONDS
        if not handle.cancelled():
            handle._run()
        return True
