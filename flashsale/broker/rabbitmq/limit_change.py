"""Give a queue another limit: drain it, delete it, and declare it anew.

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
from flashsale.broker.rabbitmq.declaration import DeclaringChannel
from flashsale.broker.topology import Queue, Topology

log = structlog.get_logger()

# A message that a channel had routed before the binding was removed arrives within this time.
QUIET_SECONDS = 1.0
_LOOK_SECONDS = 0.05
# The intake refuses all orders meanwhile. A queue that nobody drains must not make that last.
_LONGEST_SECONDS = 30.0
_AGAIN_SECONDS = 60.0


@asynccontextmanager
async def changing_limit(
    connection: Connection, deliveries: RabbitMQDeliveries, topology: Topology, queue: Queue
) -> AsyncIterator[None]:
    """Change the limit of the queue while the context is entered. A failure ends the connection."""

    def on_done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            connection.end(f"the limit of {queue.name} was not changed: {error!r}")

    change = LimitChange(connection, deliveries, topology, queue)
    changing = asyncio.create_task(change.run(), name=f"limit of {queue.name}")
    changing.add_done_callback(on_done)
    try:
        yield
    finally:
        changing.cancel()
        await asyncio.wait((changing,))


class LimitChange:
    """Changes the limit of one queue, on the connection of its only consumer."""

    def __init__(
        self,
        connection: Connection,
        deliveries: RabbitMQDeliveries,
        topology: Topology,
        queue: Queue,
    ) -> None:
        """Prepare; `queue` has the new limit."""
        self._connection = connection
        self._deliveries = deliveries
        self._queue = queue
        self._bindings = [b for b in topology.bindings if b.queue == queue.name]

    async def run(self) -> None:
        """Return once the queue has its new limit. Raises `BrokerError` if the broker is lost."""
        while True:
            log.info("limit changes", queue=self._queue.name, limit=self._queue.max_length)
            channel = await DeclaringChannel.open(self._connection)
            try:
                for binding in self._bindings:
                    await channel.unbind(binding)
                async with asyncio.timeout(_LONGEST_SECONDS):
                    while not await self._drained_and_replaced(channel):
                        channel = await DeclaringChannel.open(self._connection)
            except TimeoutError:
                log.warning(
                    "limit not changed, as the queue does not get empty; it is tried again",
                    queue=self._queue.name,
                    seconds=_AGAIN_SECONDS,
                )
            else:
                log.info("limit changed", queue=self._queue.name, limit=self._queue.max_length)
                return
            finally:
                channel.close()
                # Also if the consumer stops meanwhile: orders then go to the queue as it is.
                with suppress(BrokerError):
                    await asyncio.shield(self._bind())
            await asyncio.sleep(_AGAIN_SECONDS)

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
            if self._queue.type == "quorum":
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
            log.info("limit not changed yet", queue=self._queue.name, reason=str(error))
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
