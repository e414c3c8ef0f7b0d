"""How full the queue is, by counting it ten times a second, and when to come back."""

import asyncio
import random
import time

import structlog

from flashsale.broker import Broker, BrokerUnavailable
from gateway.state.queue_position import Line

log = structlog.get_logger()

SAMPLE_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30
# What the broker said of its queue holds for a moment, so that who is turned away costs it nothing:
# until the drain has made room for a fortieth of the queue, so that none runs empty by it.
_FULL_SECONDS = 0.025
_FULL_SHARE = 1 / 40


class Backlog:
    """Follows a queue by counting it."""

    def __init__(self, broker: Broker, queue: str, line: Line) -> None:
        self._broker = broker
        self._queue = queue
        self._line = line
        self._refused = 0.0
        self._full_until = 0.0
        self._started = False
        self.ready = 0
        self.consumers = 0

    @property
    def full(self) -> bool:
        """Whether the broker has just refused an order, so that the next one need not ask."""
        return time.monotonic() < self._full_until

    def refused(self) -> None:
        """The broker refused an order."""
        room = _FULL_SHARE * self.ready / self._line.drain_rate
        self._full_until = time.monotonic() + min(_FULL_SECONDS, room)

    def retry_after(self) -> float:
        """When to come back, in seconds, after the queue was full.

        A full queue takes its length / the drain rate to drain. All who were refused lately
        would come back at that moment as one wave, so they are spread over the time that the
        drain needs for as many.
        """
        self._refused += 1
        spread = 1 + self._refused / self._line.drain_rate
        wait = self.ready / self._line.drain_rate + random.uniform(0, spread)  # noqa: S311
        return min(wait, _LONGEST_RETRY_SECONDS)

    async def count(self) -> None:
        """Count the queue once. Raises `BrokerUnavailable`."""
        depth = await self._broker.depth(self._queue)
        self.ready, self.consumers = depth.ready, depth.consumers
        if not self._started:
            # Whoever waits already, waits before anybody that this gateway takes.
            self._line.strangers = depth.ready
            self._started = True
        self._line.counted(depth.ready)
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
