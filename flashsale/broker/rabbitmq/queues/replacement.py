"""Replace classic queues that have no limit by quorum queues, with their messages.

The messages wait in a queue of another name while the old queue is deleted and the new one is
declared. This is done while nothing else publishes to these queues or consumes them: a message for
a queue that does not exist at that moment would be lost.
"""

import asyncio
from collections.abc import Sequence

import structlog

from flashsale.broker.port import BrokerRefused, Delivery, Depth, QueueInUse
from flashsale.broker.rabbitmq.broker import RabbitMQ
from flashsale.broker.rabbitmq.connection import Connection
from flashsale.broker.rabbitmq.queues.declaration import DeclaringChannel, declare
from flashsale.broker.topology import Queue, Topology

log = structlog.get_logger()

_MOVED_AT_ONCE = 500
_PUBLISH_SECONDS = 10.0


async def replace_queues(url: str, topology: Topology) -> Sequence[str]:
    """Replace the queues without a limit that are of another type; return their names.

    An interrupted replacement is completed. A message may then be in a queue twice. Raises
    `QueueInUse` if a process still consumes them, and the errors of `declare`.
    """
    connection = await Connection.connect(url)
    try:
        others = await declare(connection, topology)
        unbounded = [queue for queue in topology.queues if queue.max_length is None]
        to_replace = [
            queue
            for queue in unbounded
            if queue.name in others or await _depth(connection, _resting_place(queue).name)
        ]
        if to_replace:
            await _require_idle(connection, topology, unbounded)
        for queue in to_replace:
            await _Replacement(url, connection, topology, queue).run(queue.name in others)
    finally:
        await connection.close()
    return [queue.name for queue in to_replace]


async def _require_idle(connection: Connection, topology: Topology, queues: list[Queue]) -> None:
    for name in [topology.orders, *(queue.name for queue in queues)]:
        depth = await _depth(connection, name)
        if depth is not None and depth.consumers:
            raise QueueInUse(f"queue {name} is being consumed")


async def _depth(connection: Connection, name: str) -> Depth | None:
    """Return the depth of a queue, or None if there is no such queue."""
    channel = await DeclaringChannel.open(connection)
    try:
        ready, consumers = await channel.count(name)
    except BrokerRefused:
        return None
    channel.close()
    return Depth(ready, consumers)


def _resting_place(queue: Queue) -> Queue:
    return Queue(f"{queue.name}.moving", queue.type)


class _Replacement:
    """The replacement of one queue."""

    def __init__(self, url: str, connection: Connection, topology: Topology, queue: Queue) -> None:
        self._url = url
        self._connection = connection
        self._queue = queue
        self._resting = _resting_place(queue)
        self._bindings = tuple(b for b in topology.bindings if b.queue == queue.name)

    async def run(self, is_old: bool) -> None:
        """Replace the queue if it is the old one, and bring its messages back."""
        if is_old:
            await self._move(self._queue.name, self._resting.name)
            while not await self._deleted():
                await self._move(self._queue.name, self._resting.name)
        await declare(self._connection, Topology((), (self._queue,), self._bindings))
        moved = await self._move(self._resting.name, self._queue.name)
        channel = await DeclaringChannel.open(self._connection)
        # A quorum queue can't be deleted on a condition, but this one has no other user.
        await channel.delete(self._resting.name, if_idle=False)
        channel.close()
        log.info("queue replaced", queue=self._queue.name, type=self._queue.type, messages=moved)

    async def _deleted(self) -> bool:
        """Delete the old queue; return False if it is not empty."""
        channel = await DeclaringChannel.open(self._connection)
        try:
            await channel.delete(self._queue.name, if_idle=True)
        except BrokerRefused:
            depth = await _depth(self._connection, self._queue.name)
            if depth is None or not depth.ready:
                raise
            return False
        channel.close()
        return True

    async def _move(self, source: str, target: str) -> int:
        """Move all messages from one queue to another, the oldest first; return how many."""
        moved = 0
        resting = Topology((), (self._resting,), ())
        async with RabbitMQ(self._url, resting, publish_timeout=_PUBLISH_SECONDS) as broker:
            while ready := (await broker.depth(source)).ready:
                async with broker.consume(source, _MOVED_AT_ONCE) as deliveries:
                    until = moved + ready
                    while moved < until:
                        await deliveries.wait()
                        batch = deliveries.take(_MOVED_AT_ONCE)
                        await _publish(broker, target, batch)
                        deliveries.ack_through(batch[-1])
                        moved += len(batch)
        return moved


async def _publish(broker: RabbitMQ, queue: str, batch: Sequence[Delivery]) -> None:
    confirms = [
        broker.publish("", queue, one.body, message_id=one.message_id, headers=one.headers)
        for one in batch
    ]
    await asyncio.gather(*confirms)
