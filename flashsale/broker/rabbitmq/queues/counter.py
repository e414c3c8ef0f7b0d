"""Count the messages of a queue."""

import asyncio
from typing import Any

from pika.channel import Channel
from pika.exceptions import AMQPError

from flashsale.broker.port import BrokerUnavailable, Depth
from flashsale.broker.rabbitmq.connection import Connection


class QueueCounter:
    """Counts queues one after the other, on a channel of its own."""

    def __init__(self, timeout: float) -> None:
        """Wait `timeout` seconds for each answer."""
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._pending: asyncio.Future[Depth] | None = None

    async def count(self, connection: Connection, queue: str) -> Depth:
        """Return the depth of a queue. Raises `BrokerUnavailable`."""
        async with self._lock:
            if connection is not self._connection:
                self._connection, self._channel = connection, None
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._count(connection, queue)
            except TimeoutError as error:
                self._channel = None
                raise BrokerUnavailable("no answer in time") from error

    async def _count(self, connection: Connection, queue: str) -> Depth:
        counted: asyncio.Future[Depth] = asyncio.get_running_loop().create_future()

        def answered(frame: Any) -> None:
            if not counted.done():
                counted.set_result(Depth(frame.method.message_count, frame.method.consumer_count))

        if self._channel is None:
            self._channel = await connection.channel(on_closed=self._on_refused)
        self._pending = counted
        try:
            self._channel.queue_declare(queue, passive=True, callback=answered)
        except AMQPError as error:
            raise BrokerUnavailable(str(error)) from error
        try:
            return await connection.until_closed(counted)
        finally:
            counted.cancel()  # after a failure nobody awaits it

    def _on_refused(self, reason: str) -> None:
        # The broker closes the channel if a passively declared queue does not exist.
        self._channel = None
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(BrokerUnavailable(reason))
