"""A leaky bucket, like most limiters for asyncio, such as aiolimiter."""

import asyncio
import time


class Limiter:
    """Admits `rate` a second: after a pause a burst of `rate` at once, then one per interval."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._level = 0.0
        self._at = time.monotonic()
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait for capacity, and use it."""
        async with self._turn:
            self._leak()
            while self._level + 1 > self._rate:
                await asyncio.sleep((self._level + 1 - self._rate) / self._rate)
                self._leak()
            self._level += 1

    def _leak(self) -> None:
        now = time.monotonic()
        self._level = max(0.0, self._level - (now - self._at) * self._rate)
        self._at = now
