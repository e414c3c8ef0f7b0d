"""The backlog: how many orders are in the queue, by a count ten times a second."""

import asyncio

import structlog

from flashsale.broker import Broker, BrokerUnavailable
from gateway.state.queue_position import QueuePosition
from gateway.state.stream_changes import StreamChanges

log = structlog.get_logger()

SAMPLE_SECONDS = 0.1


class Backlog:
    """The latest count of a queue."""

    def __init__(
        self, broker: Broker, queue: str, queue_position: QueuePosition, changes: StreamChanges
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._queue_position = queue_position
        self._changes = changes
        self._seen: tuple[int, float | None] | None = None
        self.ready = 0
        """Orders in the queue that no consumer has in hand."""
        self.consumers = 0
        self.counted = 0
        """How often the queue was counted."""

    async def count(self) -> None:
        """Count the queue once. Raises `BrokerUnavailable`."""
        depth = await self._broker.depth(self._queue)
        self.ready, self.consumers = depth.ready, depth.consumers
        self.counted += 1
        self._queue_position.note_count(depth.ready)
        self._note_change()

    async def recount(self) -> None:
        """Count the queue after announcements may have been missed. Raises `BrokerUnavailable`."""
        await self.count()
        self._queue_position.recount(self.ready)

    async def follow(self) -> None:
        """Keep counting."""
        while True:
            try:
                await self.count()
            except BrokerUnavailable as error:
                self.consumers = 0
                self._note_change()
                log.debug("backlog not counted", reason=str(error))
            await asyncio.sleep(SAMPLE_SECONDS)

    def _note_change(self) -> None:
        seen = (self.ready, self._queue_position.drained_per_second(self.consumers))
        if seen != self._seen:
            self._seen = seen
            self._changes.queue_changed()
