"""A broker in this process's memory, for trials and tests. It keeps the port's whole contract.

Its messages do not survive the process.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from flashsale.broker.port import (
    Broker,
    BrokerUnavailable,
    Deliveries,
    Delivery,
    Depth,
    QueueFull,
    Unroutable,
)
from flashsale.broker.topology import (
    MAX_SUBSCRIBER_MESSAGES,
    Exchange,
    Queue,
    Topology,
    topic_matches,
)
from flashsale.messages.headers import Headers


class _Message:
    __slots__ = ("body", "headers", "message_id", "redelivered")

    def __init__(self, body: bytes, message_id: str, headers: Headers) -> None:
        self.body = body
        self.message_id = message_id
        self.headers = headers
        self.redelivered = False


class _Queue:
    """Ready messages, and the consumers that share them round robin."""

    def __init__(self, declared: Queue) -> None:
        self.declared = declared
        self.ready: deque[_Message] = deque()
        self.consumers: deque[EmbeddedDeliveries] = deque()

    @property
    def full(self) -> bool:
        limit = self.declared.max_length
        return limit is not None and len(self.ready) >= limit

    def dispatch(self) -> None:
        """Deliver ready messages to consumers below their prefetch, round robin."""
        idle = 0
        while self.ready and idle < len(self.consumers):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.wants_more:
                consumer.deliver(self.ready.popleft())
                idle = 0
            else:
                idle += 1


class EmbeddedDeliveries(Deliveries):
    """A consumer of an embedded queue."""

    def __init__(self, queue: _Queue, prefetch: int) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._at_hand: deque[Delivery] = deque()
        self._unacked: dict[int, _Message] = {}
        self._number = 0
        self._arrived = asyncio.Event()
        self._closed = False

    @property
    def unacked(self) -> int:
        """The messages that are delivered and not acknowledged."""
        return len(self._unacked)

    @property
    def wants_more(self) -> bool:
        """Whether the prefetch allows another message."""
        return len(self._unacked) < self._prefetch

    def deliver(self, message: _Message) -> None:
        """Add a message that must be acknowledged."""
        self._number += 1
        self._unacked[self._number] = message
        self._at_hand.append(
            Delivery(
                self._number,
                message.body,
                message.message_id,
                message.headers,
                message.redelivered,
            )
        )
        self._arrived.set()

    def deliver_unacknowledged(self, message: _Message) -> None:
        """Add a message without acknowledgement. Drop the oldest ones over the prefetch."""
        self.deliver(message)
        self._unacked.clear()
        while len(self._at_hand) > self._prefetch:
            self._at_hand.popleft()

    def __len__(self) -> int:
        return len(self._at_hand)

    async def wait(self) -> None:
        while not self._at_hand:
            if self._closed:
                raise BrokerUnavailable("the consumer is closed")
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, at_most: int) -> Sequence[Delivery]:
        return [self._at_hand.popleft() for _ in range(min(at_most, len(self._at_hand)))]

    def ack(self, delivery: Delivery) -> None:
        self._unacked.pop(delivery.number, None)
        self._queue.dispatch()

    def ack_through(self, delivery: Delivery) -> None:
        while self._unacked and (first := next(iter(self._unacked))) <= delivery.number:
            del self._unacked[first]
        self._queue.dispatch()

    def close(self) -> None:
        """Return unacknowledged messages to the head of the queue, in their old order."""
        self._closed = True
        for message in reversed(self._unacked.values()):
            message.redelivered = True
            self._queue.ready.appendleft(message)
        self._unacked.clear()
        self._at_hand.clear()
        self._arrived.set()


class EmbeddedBroker(Broker):
    """Direct, topic and fanout exchanges and bounded queues, in memory."""

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self._topology = topology
        self._exchanges: dict[str, Exchange] = {e.name: e for e in topology.exchanges}
        self._queues = {q.name: _Queue(q) for q in topology.queues}
        self._subscribers: dict[str, list[EmbeddedDeliveries]] = {}
        self._open = False

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        message_id: str,
        headers: Headers | None = None,
        mandatory: bool = True,
    ) -> asyncio.Future[None]:
        if not self._open:
            raise BrokerUnavailable("the embedded broker is closed")
        queues = self._route(exchange, routing_key)
        subscribers = self._subscribers.get(exchange, ())
        for subscriber in subscribers:
            subscriber.deliver_unacknowledged(_Message(body, message_id, headers or {}))
        if mandatory and not queues and not subscribers:
            self.counts.returned += 1
            raise Unroutable(f"nothing is bound to {exchange} for {routing_key}")
        # As in RabbitMQ: queues below their limit take the message even if another one refuses it.
        refused = False
        for queue in queues:
            if queue.full:
                refused = True
                continue
            self._put(queue, _Message(body, message_id, headers or {}))
        if refused:
            self.counts.refused += 1
            raise QueueFull("the queue is at its limit")
        self.counts.confirmed += 1
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _put(self, queue: _Queue, message: _Message) -> None:
        queue.ready.append(message)
        queue.dispatch()
        declared = queue.declared
        if declared.delay_seconds is not None and declared.expires_to is not None:
            asyncio.get_running_loop().call_later(
                declared.delay_seconds, self._move, queue, message, declared.expires_to
            )

    def _move(self, queue: _Queue, message: _Message, target: str) -> None:
        """Move a message whose delay is over, unless a consumer has taken it from this queue."""
        with suppress(ValueError):
            queue.ready.remove(message)
            self._put(self._queues[target], message)

    def _route(self, exchange: str, key: str) -> list[_Queue]:
        if not exchange:
            return [self._queues[key]] if key in self._queues else []
        if exchange not in self._exchanges:
            raise Unroutable(f"no exchange {exchange}")
        kind = self._exchanges[exchange].type
        names = {
            binding.queue: None
            for binding in self._topology.bindings
            if binding.exchange == exchange
            and (
                kind == "fanout"
                or (kind == "direct" and binding.key == key)
                or (kind == "topic" and topic_matches(binding.key.split("."), key.split(".")))
            )
        }
        return [self._queues[name] for name in names]

    async def extend(self, topology: Topology) -> None:
        self._topology += topology
        self._exchanges |= {e.name: e for e in topology.exchanges}
        for queue in topology.queues:
            self._queues.setdefault(queue.name, _Queue(queue))

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
        if not self._open:
            raise BrokerUnavailable("the embedded broker is closed")
        source = self._queues[queue]
        deliveries = EmbeddedDeliveries(source, prefetch)
        source.consumers.append(deliveries)
        source.dispatch()
        try:
            yield deliveries
        finally:
            source.consumers.remove(deliveries)
            deliveries.close()
            source.dispatch()

    @asynccontextmanager
    async def subscribe(self, exchange: str) -> AsyncIterator[Deliveries]:
        if not self._open:
            raise BrokerUnavailable("the embedded broker is closed")
        subscription = EmbeddedDeliveries(_Queue(Queue("")), MAX_SUBSCRIBER_MESSAGES)
        subscribers = self._subscribers.setdefault(exchange, [])
        subscribers.append(subscription)
        try:
            yield subscription
        finally:
            subscribers.remove(subscription)
            subscription.close()

    async def depth(self, queue: str) -> Depth:
        found = self._queues[queue]
        unacked = sum(consumer.unacked for consumer in found.consumers)
        return Depth(len(found.ready), len(found.consumers), unacked)

    def refuses_late(self, queue: str) -> bool:
        return False

    @property
    def in_flight(self) -> int:
        return 0

    @property
    def blocked(self) -> bool:
        return False

    @property
    def trouble(self) -> str | None:
        return None if self._open else "the embedded broker is closed"

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        for queue in self._queues.values():
            for deliveries in queue.consumers:
                deliveries.close()
        for subscribers in self._subscribers.values():
            for subscription in subscribers:
                subscription.close()
