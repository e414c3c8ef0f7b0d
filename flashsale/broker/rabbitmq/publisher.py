"""A channel on which the broker answers for each message."""

import asyncio
from contextlib import suppress
from typing import Any, Self

from pika import BasicProperties, DeliveryMode
from pika.channel import Channel
from pika.exceptions import AMQPError

from flashsale.broker.rabbitmq.confirms import Confirms
from flashsale.broker.rabbitmq.connection import Link
from flashsale.broker.rabbitmq.outbound_frames import message_frames
from flashsale.broker.rabbitmq.write_batching import Nagle
from flashsale.messages.headers import Headers

_ONE_FRAME_BYTES = 4096 - 8  # the smallest frame that a peer may insist on, less its own bytes


class ConfirmedChannel:
    """A channel in confirm mode, and what is in flight on it. Ends its link when it breaks."""

    def __init__(self, link: Link, confirms: Confirms) -> None:
        """Prepare; `open` opens it. `confirms` are to be its own."""
        self.confirms = confirms
        self._link = link
        self._nagle = Nagle(link.write_frames)
        self._loop = asyncio.get_running_loop()
        self._channel: Any = None
        self._closing = False

    async def open(self) -> Self:
        """Open it. Raises `BrokerUnavailable`."""
        channel: Channel = await self._link.channel(on_closed=self._on_closed)
        self._channel = channel
        channel.add_on_return_callback(
            lambda _, method, properties, __: self.confirms.returned(
                properties.message_id or "", f"{method.reply_text}: {method.routing_key}"
            )
        )
        self._link.inbound.acks[int(channel.channel_number)] = self._on_ack
        try:
            await self._link.call(
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
        """Whether it takes messages."""
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
        """Send a message; its confirm. The arguments are those of `Broker.publish`."""
        if headers or not 0 < len(body) <= _ONE_FRAME_BYTES:
            # Tags are given in the order in which messages arrive.
            self._nagle.flush()
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
        self._nagle.add(frames, self.confirms.last)
        return confirm

    def close(self) -> None:
        """Close it, for itself alone."""
        self._closing = True
        self._link.inbound.acks.pop(int(self._channel.channel_number), None)
        with suppress(AMQPError):
            self._channel.close()

    def _on_closed(self, reason: str) -> None:
        # A channel error leaves the connection up: end both, and begin again with both.
        if not self._closing:
            self._link.end(reason)

    def _on_answer(self, method: Any) -> None:
        if method.NAME == "Basic.Ack":
            self._on_ack(method.delivery_tag, method.multiple)
        else:
            self.confirms.nack(method.delivery_tag, method.multiple)
            self._nagle.confirmed_below(self.confirms.first)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self.confirms.ack(tag, multiple)
        self._nagle.confirmed_below(self.confirms.first)
