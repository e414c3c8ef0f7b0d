"""Publish on a channel in confirm mode."""

import asyncio
from contextlib import suppress
from typing import Any, Self

from pika import BasicProperties, DeliveryMode
from pika.channel import Channel
from pika.exceptions import AMQPError

from flashsale.broker.rabbitmq.confirms import Confirms
from flashsale.broker.rabbitmq.connection import Connection
from flashsale.broker.rabbitmq.outbound_frames import message_frames
from flashsale.broker.rabbitmq.write_batching import WriteBatcher
from flashsale.messages.headers import Headers

_ONE_FRAME_BYTES = 4096 - 8  # AMQP's smallest maximum frame size, without header and end byte


class ConfirmedChannel:
    """A channel in confirm mode and its messages in flight. A channel error ends the connection."""

    def __init__(self, connection: Connection, confirms: Confirms) -> None:
        """Prepare; `open` opens it. `confirms` must not be shared with another channel."""
        self.confirms = confirms
        self._connection = connection
        self._batcher = WriteBatcher(connection.write_frames)
        self._loop = asyncio.get_running_loop()
        self._channel: Any = None
        self._closing = False

    async def open(self) -> Self:
        """Open the channel. Raises `BrokerUnavailable`."""
        channel: Channel = await self._connection.channel(on_closed=self._on_closed)
        self._channel = channel
        channel.add_on_return_callback(
            lambda _, method, properties, __: self.confirms.returned(
                properties.message_id or "", f"{method.reply_text}: {method.routing_key}"
            )
        )
        number = int(channel.channel_number)
        self._connection.inbound_frames.acks[number] = self._on_ack
        self._connection.inbound_frames.nacks[number] = self._on_nack
        try:
            await self._connection.call(
                lambda answer: channel.confirm_delivery(
                    lambda frame: self._on_answer(frame.method), callback=answer
                )
            )
        except BaseException:
            self.close()
            raise
        return self

    @property
    def is_open(self) -> bool:
        """Whether the channel accepts messages."""
        return bool(self._channel.is_open)

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        message_id: str,
        headers: Headers | None,
        mandatory: bool,
    ) -> asyncio.Future[None]:
        """Send a message; return its confirm. The arguments are those of `Broker.publish`."""
        if headers or not 0 < len(body) <= _ONE_FRAME_BYTES:
            # The broker numbers messages in the order of arrival, so write earlier ones first.
            self._batcher.flush()
            properties = BasicProperties(
                message_id=message_id,
                delivery_mode=DeliveryMode.Persistent,
                headers=dict[str, Any](headers or {}),
            )
            self._channel.basic_publish(exchange, routing_key, body, properties, mandatory)
            return self.confirms.add(self._loop.time(), message_id)
        frames = message_frames(
            self._channel.channel_number, exchange, routing_key, message_id, body, mandatory
        )
        confirm = self.confirms.add(self._loop.time(), message_id)
        self._batcher.add(frames, self.confirms.last)
        return confirm

    def close(self) -> None:
        """Close only this channel and keep the connection."""
        self._closing = True
        number = int(self._channel.channel_number)
        self._connection.inbound_frames.acks.pop(number, None)
        self._connection.inbound_frames.nacks.pop(number, None)
        with suppress(AMQPError):
            self._channel.close()

    def _on_closed(self, reason: str) -> None:
        # A channel error leaves the connection open: end it as well, so that both are opened anew.
        if not self._closing:
            self._connection.end(reason)

    def _on_answer(self, method: Any) -> None:
        on_answer = self._on_ack if method.NAME == "Basic.Ack" else self._on_nack
        on_answer(method.delivery_tag, method.multiple)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self.confirms.ack(tag, multiple)
        self._batcher.confirmed_below(self.confirms.first)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self.confirms.nack(tag, multiple)
        self._batcher.confirmed_below(self.confirms.first)
