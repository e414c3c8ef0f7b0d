"""Change the limit of a queue, or make a classic queue a quorum queue: drain and declare it anew.

RabbitMQ never changes the arguments of a queue. docs/decisions/0010-a-queue-changes-its-limit.md
says why it is done like this.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from flashsale.broker.port import BrokerError
from flashsale.broker.rabbitmq.connection import Connection
from flashsale.broker.rabbitmq.consumer import RabbitMQDeliveries
from flashsale.broker.rabbitmq.queues.declaration import DeclaringChannel
from flashsale.broker.topology import Queue, Topology

log = structlog.get_logger()

# A message that a channel had routed before the binding was removed arrives within this time.
QUIET_SECONDS = 1.0
_LOOK_SECONDS = 0.05
# The intake refuses all orders meanwhile. A queue that nobody drains must not make that last.
_LONGEST_SECONDS = 30.0
_AGAIN_SECONDS = 60.0


@asynccontextmanager
async def changing_queue(
    connection: Connection,
    deliveries: RabbitMQDeliveries,
    topology: Topology,
    existing: Queue,
    wanted: Queue,
) -> AsyncIterator[None]:
    """Change the queue while the context is entered. A failure ends the connection."""

    def on_done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            connection.end(f"{wanted.name} was not changed: {error!r}")

    change = QueueChange(connection, deliveries, topology, existing, wanted)
    changing = asyncio.create_task(change.run(), name=f"change of {wanted.name}")
    changing.add_done_callback(on_done)
    try:
        yield
    finally:
        changing.cancel()
        await asyncio.wait((changing,))


class QueueChange:
    """Changes the limit or type of one queue, on the connection of its only consumer."""

    def __init__(
        self,
        connection: Connection,
        deliveries: RabbitMQDeliveries,
        topology: Topology,
        existing: Queue,
        wanted: Queue,
    ) -> None:
        """Prepare to make the existing queue the wanted one."""
        self._connection = connection
        self._deliveries = deliveries
        self._existing = existing
        self._queue = wanted
        self._bindings = [b for b in topology.bindings if b.queue == wanted.name]

    async def run(self) -> None:
        """Return once the queue is changed. Raises `BrokerError` if the broker is lost."""
        while True:
            log.info("queue changes", **self._as_wanted)
            channel = await DeclaringChannel.open(self._connection)
            try:
                for binding in self._bindings:
                    await channel.unbind(binding)
                async with asyncio.timeout(_LONGEST_SECONDS):
                    while not await self._drained_and_replaced(channel):
                        channel = await DeclaringChannel.open(self._connection)
            except TimeoutError:
                log.warning(
                    "queue not changed, as it does not get empty; it is tried again",
                    queue=self._queue.name,
                    seconds=_AGAIN_SECONDS,
                )
            else:
                log.info("queue changed", **self._as_wanted)
                return
            finally:
                channel.close()
                # Also if the consumer stops meanwhile: orders then go to the queue as it is.
                with suppress(BrokerError):
                    await asyncio.shield(self._bind())
            await asyncio.sleep(_AGAIN_SECONDS)

    @property
    def _as_wanted(self) -> dict[str, object]:
        queue = self._queue
        return {"queue": queue.name, "limit": queue.max_length, "type": queue.type}

    async def _drained_and_replaced(self, channel: DeclaringChannel) -> bool:
        """Wait until the queue is quiet, then replace it; return whether that succeeded."""
        quiet = 0.0
        while quiet < QUIET_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            ready, _ = await channel.count(self._queue.name)
            quiet = quiet + _LOOK_SECONDS if ready == 0 and self._deliveries.settled else 0.0
        # Nothing is delivered after this, and what was delivered before has arrived.
        await self._deliveries.cancel(self._queue.name)
        try:
            if not self._deliveries.settled:
                return False
            if self._existing.type == "quorum":
                # A quorum queue can't be deleted on a condition.
                if await channel.count(self._queue.name) != (0, 0):
                    return False
                await channel.delete(self._queue.name, if_idle=False)
            else:
                await channel.delete(self._queue.name, if_idle=True)
            await channel.declare_queue(self._queue)
            return True
        except BrokerError as error:
            if self._connection.closed.done():
                raise
            log.info("queue not changed yet", queue=self._queue.name, reason=str(error))
            return False
        finally:
            if not self._connection.closed.done():
                await self._deliveries.resume(self._queue.name)

    async def _bind(self) -> None:
        if self._connection.closed.done():
            return
        channel = await DeclaringChannel.open(self._connection)
        for binding in self._bindings:
            await channel.bind(binding)
        channel.close()
