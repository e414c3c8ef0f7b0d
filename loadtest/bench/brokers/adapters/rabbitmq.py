"""RabbitMQ by the gateway's own adapter: a classic or a quorum queue with `reject-publish`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from flashsale.broker import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    Deliveries,
    QueueFull,
    QueueType,
    Topology,
    open_broker,
    sale_topology,
)
from loadtest.bench.brokers.port import Full, Lost, OpenQueue, OrderQueue, Taken

_PREFETCH = 100
_PATIENCE_SECONDS = 10.0


def rabbitmq_queue(kind: QueueType, prefix: str = "") -> OpenQueue:
    """Return the function that opens a queue of this type, with this prefix to its name."""

    @asynccontextmanager
    async def opened(url: str, bound: int) -> AsyncIterator[OrderQueue]:
        topology = sale_topology(prefix, bound, kind)
        async with AsyncExitStack() as stack:
            try:
                broker = open_broker(url, topology, _PATIENCE_SECONDS)
                await stack.enter_async_context(broker)
            except BrokerError as error:
                raise Lost from error
            yield RabbitQueue(broker, topology, stack)

    return opened


class RabbitQueue(OrderQueue):
    """The queue of orders, as gateway and consumer use it."""

    def __init__(self, broker: Broker, topology: Topology, stack: AsyncExitStack) -> None:
        self._broker = broker
        self._topology = topology
        self._stack = stack
        self._deliveries: Deliveries | None = None
        self._number = 0

    async def publish(self, body: bytes) -> None:
        """Publish with a confirm. A negative one means that the queue is full."""
        self._number += 1
        name = str(self._number)
        try:
            await self._broker.publish(self._topology.orders, "order", body, message_id=name)
        except QueueFull as error:
            raise Full from error
        except BrokerUnavailable as error:
            raise Lost from error

    async def take(self, at_most: int) -> list[Taken]:
        """Take what has arrived of the prefetch; the first call starts the consumer."""
        if self._deliveries is None:
            consumer = self._broker.consume(self._topology.orders, _PREFETCH)
            self._deliveries = await self._stack.enter_async_context(consumer)
        return [Taken(one, one.body) for one in self._deliveries.take(at_most)]

    async def ack(self, taken: Sequence[Taken]) -> None:
        """Acknowledge all with one frame."""
        if self._deliveries is not None:
            self._deliveries.ack_through(taken[-1].tag)

    async def depth(self) -> int:
        """Return the ready orders."""
        return (await self._broker.depth(self._topology.orders)).ready
