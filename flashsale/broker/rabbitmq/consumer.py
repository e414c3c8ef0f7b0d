"""A consumer of RabbitMQ's queues."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from pika.channel import Channel
from pika.exceptions import AMQPError

from flashsale.broker.port import BrokerUnavailable, Deliveries, Delivery
from flashsale.broker.rabbitmq.arguments import subscriber_arguments
from flashsale.broker.rabbitmq.connection import Connection
from flashsale.broker.topology import MAX_SUBSCRIBER_MESSAGES
from flashsale.messages.headers import Headers

# Many processes announce to each other, so that announcements come one by one. None is urgent.
_GATHER_SECONDS = 0.01

_NO_HEADERS: Headers = MappingProxyType({})


class RabbitMQDeliveries(Deliveries):
    """A consumer on a connection of its own. Its deliveries are void when that is lost."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None
        self._at_hand: deque[Delivery] = deque()
        self._arrived = asyncio.Event()
        self._cancelled = False
        self._tags: dict[str, str] = {}  # of the consumers, by queue
        self._last_taken = 0
        self._acked_through = 0
        connection.closed.add_done_callback(lambda _: self._arrived.set())

    async def start(self, queues: Sequence[str], prefetch: int) -> None:
        """Start to consume these queues, in this order."""
        channel = await self._connection.channel(on_closed=self._connection.end)
        channel.add_on_cancel_callback(lambda _: self._on_cancelled())
        await self._connection.call(
            lambda answer: channel.basic_qos(prefetch_count=prefetch, callback=answer)
        )
        for queue in queues:
            await self._consume(channel, queue)
        self._channel = channel

    async def subscribe(self, exchange: str) -> None:
        """Start to consume a fanout exchange, by a queue that ends with the connection."""
        channel = await self._connection.channel(on_closed=self._connection.end)
        channel.add_on_cancel_callback(lambda _: self._on_cancelled())
        declared = await self._connection.call(
            lambda answer: channel.queue_declare(
                "",
                exclusive=True,
                arguments=subscriber_arguments(MAX_SUBSCRIBER_MESSAGES),
                callback=answer,
            )
        )
        queue = declared.method.queue
        await self._connection.call(
            lambda answer: channel.queue_bind(queue, exchange, "", callback=answer)
        )
        await self._consume(channel, queue, auto_ack=True)
        self._connection.gather_reads(_GATHER_SECONDS)

    async def _consume(self, channel: Channel, queue: str, auto_ack: bool = False) -> None:
        self._connection.inbound_frames.deliveries[int(channel.channel_number)] = (
            self._on_plain_message
        )
        started = await self._connection.call(
            lambda answer: channel.basic_consume(
                queue, self._on_message, auto_ack=auto_ack, callback=answer
            )
        )
        self._tags[queue] = started.method.consumer_tag

    @property
    def settled(self) -> bool:
        """Whether everything that has arrived is taken and acknowledged."""
        return not self._at_hand and self._acked_through >= self._last_taken

    async def cancel(self, queue: str) -> None:
        """Let the broker deliver nothing more of this queue. Raises `BrokerUnavailable`."""
        if (channel := self._channel) is not None:
            tag = self._tags[queue]
            await self._connection.call(lambda answer: channel.basic_cancel(tag, callback=answer))

    async def resume(self, queue: str) -> None:
        """Consume a cancelled queue again. Raises `BrokerUnavailable`."""
        if self._channel is not None:
            await self._consume(self._channel, queue)

    def __len__(self) -> int:
        return 0 if self._connection.closed.done() else len(self._at_hand)

    async def wait(self) -> None:
        while True:
            if self._connection.closed.done():
                raise BrokerUnavailable(self._connection.closed.result())
            if self._at_hand:
                return
            if self._cancelled:
                raise BrokerUnavailable("the broker cancelled")
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, at_most: int) -> Sequence[Delivery]:
        taken = [self._at_hand.popleft() for _ in range(min(at_most, len(self)))]
        if taken:
            self._last_taken = taken[-1].number
        return taken

    def ack(self, delivery: Delivery) -> None:
        if delivery.number == self._acked_through + 1:
            self._acked_through = delivery.number
        self._ack(delivery, multiple=False)

    def ack_through(self, delivery: Delivery) -> None:
        self._acked_through = delivery.number
        self._ack(delivery, multiple=True)

    def _ack(self, delivery: Delivery, multiple: bool) -> None:
        # On a lost connection there is nothing to acknowledge: the broker redelivers the message.
        if self._channel is not None and self._channel.is_open:
            with suppress(AMQPError):
                self._channel.basic_ack(delivery.number, multiple=multiple)

    def _on_cancelled(self) -> None:
        # The queue was deleted: no more messages come. Those that have arrived are in no other
        # place, so they are still handed out.
        self._cancelled = True
        self._arrived.set()

    def _on_message(self, _: Channel, method: Any, properties: Any, body: bytes) -> None:
        self._at_hand.append(
            Delivery(
                method.delivery_tag,
                body,
                properties.message_id or "",
                properties.headers or {},
                method.redelivered,
            )
        )
        self._arrived.set()

    def _on_plain_message(
        self, number: int, body: bytes, message_id: str, redelivered: bool
    ) -> None:
        self._at_hand.append(Delivery(number, body, message_id, _NO_HEADERS, redelivered))
        self._arrived.set()
