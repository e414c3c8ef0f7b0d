"""The place in line: counted from the queue's depth and from what this gateway put into it."""

import asyncio
import random

import structlog

from flashsale.broker import Broker, BrokerUnavailable

log = structlog.get_logger()

SAMPLE_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30


class Backlog:
    """Follows a queue by counting it ten times a second, and between the counts by arithmetic.

    With one gateway positions are exact up to the age of the count. With several, orders that
    the others put in after ours count as before ours until both are drained.
    """

    def __init__(self, broker: Broker, queue: str, drain_rate: int) -> None:
        self._broker = broker
        self._queue = queue
        self._drain_rate = drain_rate
        self._published = 0
        self._drained = 0
        self._refused = 0.0
        self._started = False
        self.ready = 0
        self.consumers = 0

    def published(self) -> int:
        """Count an order that the broker confirmed; its number."""
        self._published += 1
        return self._published

    def position(self, number: int) -> int:
        """The place in line of the order of that number: 1 is next. It never grows."""
        return max(1, number - self._drained)

    def eta_seconds(self, position: int) -> float | None:
        """When the order at that place will be decided; None if nobody drains."""
        if self.consumers == 0:
            return None
        return round(position / self._drain_rate, 2)

    def retry_after(self) -> float:
        """When to come back, in seconds, after the queue was full.

        A full queue takes its length / the drain rate to drain. All who were refused lately
        would come back at that moment as one wave, so they are spread over the time that the
        drain needs for as many.
        """
        self._refused += 1
        spread = 1 + self._refused / self._drain_rate
        wait = self.ready / self._drain_rate + random.uniform(0, spread)  # noqa: S311
        return min(wait, _LONGEST_RETRY_SECONDS)

    async def count(self) -> None:
        """Count the queue once. Raises `BrokerUnavailable`."""
        published = self._published
        depth = await self._broker.depth(self._queue)
        self.ready, self.consumers = depth.ready, depth.consumers
        drained = published - depth.ready
        # What waited before this gateway came is before its orders too: hence below 0 at first.
        self._drained = max(self._drained, drained) if self._started else drained
        self._started = True
        self._refused *= 1 - SAMPLE_SECONDS

    async def follow(self) -> None:
        """Keep counting."""
        while True:
            try:
                await self.count()
            except BrokerUnavailable as error:
                self.consumers = 0
                log.debug("backlog not counted", reason=str(error))
            await asyncio.sleep(SAMPLE_SECONDS)
