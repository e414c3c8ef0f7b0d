"""A RabbitMQ stream: a log that many readers can read again. It has no bound and can't refuse.

The gateway's adapter publishes; aio-pika consumes, as a stream wants an offset to begin at
(https://www.rabbitmq.com/docs/streams).
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPException

from flashsale.broker import Broker, BrokerError, BrokerUnavailable, Topology, open_broker
from loadtest.bench.brokers.port import Lost, OrderQueue, Taken

_STREAM = "orders"
_PREFETCH = 100
_PATIENCE_SECONDS = 10.0


@asynccontextmanager
async def open_rabbitmq_stream(url: str, bound: int) -> AsyncIterator[OrderQueue]:
    """Open the stream. It ignores the bound."""
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(await aio_pika.connect(url))
            channel = await connection.channel()
            await channel.set_qos(_PREFETCH)
            stream = await channel.declare_queue(
                _STREAM, durable=True, arguments={"x-queue-type": "stream"}
            )
            broker = open_broker(url, Topology((), (), ()), _PATIENCE_SECONDS)
            await stack.enter_async_context(broker)
        except (AMQPException, BrokerError) as error:
            raise Lost from error
        yield RabbitStream(broker, stream)


class RabbitStream(OrderQueue):
    """A stream and a reader from its first order on."""

    def __init__(self, broker: Broker, stream: AbstractQueue) -> None:
        self._broker = broker
        self._stream = stream
        self._reads = False
        self._arrived: deque[AbstractIncomingMessage] = deque()
        self._taken = 0
        self._number = 0

    async def publish(self, body: bytes) -> None:
        """Publish by the default exchange, with a confirm."""
        self._number += 1
        try:
            await self._broker.publish("", _STREAM, body, message_id=str(self._number))
        except BrokerUnavailable as error:
            raise Lost from error

    async def take(self, at_most: int) -> list[Taken]:
        """Take what has arrived of the prefetch; the first call starts the consumer."""
        if not self._reads:
            self._reads = True
            await self._stream.consume(self._on_message, arguments={"x-stream-offset": "first"})
        count = min(at_most, len(self._arrived))
        self._taken += count
        return [Taken(one, one.body) for one in (self._arrived.popleft() for _ in range(count))]

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._arrived.append(message)

    async def ack(self, taken: Sequence[Taken]) -> None:
        """Acknowledge, which only lets the next ones come: the stream keeps all orders."""
        await taken[-1].tag.ack(multiple=True)

    async def depth(self) -> int:
        """Return the orders in the stream that this client has not taken."""
        return (await self._broker.depth(_STREAM)).ready - self._taken
