"""RabbitMQ by pika: confirmed publishing over one supervised connection, consuming over others."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import structlog
from pika import BasicProperties, DeliveryMode
from pika.channel import Channel
from pika.exceptions import AMQPError

from flashsale.broker.base import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    Deliveries,
    Depth,
    Headers,
)
from flashsale.broker.confirms import Confirms
from flashsale.broker.deliveries import RabbitDeliveries
from flashsale.broker.frames import message_frames
from flashsale.broker.link import Link, declare
from flashsale.broker.nagle import Nagle
from flashsale.broker.topology import Topology

log = structlog.get_logger()

_ONE_FRAME_BYTES = 4096 - 8  # the smallest frame that a peer may insist on, less its own bytes
_EXPIRY_CHECK_SECONDS = 0.05
_OVERDUE_SECONDS = 4.0  # a confirm after its deadline, of a broker that is slow and no more
_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 5.0


class RabbitMQ(Broker):
    """A RabbitMQ broker, 3.10 to 4.x."""

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        publish_timeout: float = 2.0,
        max_in_flight: int = 10_000,
    ) -> None:
        """Prepare; entering connects. A publish gets its confirm in `publish_timeout` seconds.

        More than `max_in_flight` unconfirmed messages are refused, so that a broker which stops
        reading fills a list of known length and not the memory.
        """
        super().__init__()
        self._url = url
        self._topology = topology
        self._publish_timeout = publish_timeout
        self._max_in_flight = max_in_flight
        self._loop = asyncio.get_running_loop()
        self._confirms = self._new_confirms()
        self._nagle = Nagle(lambda _: None)
        self._link: Link | None = None
        self._publishing: Channel | None = None
        self._asking: Channel | None = None
        self._asking_lock = asyncio.Lock()
        self._counted: asyncio.Future[Depth] | None = None
        self._lost = "not connected"
        self._tasks: list[asyncio.Task[None]] = []

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
        channel, link = self._publishing, self._link
        if channel is None or link is None or link.blocked or not channel.is_open:
            raise BrokerUnavailable(self.trouble or "the channel is closing")
        if len(self._confirms) >= self._max_in_flight:
            raise BrokerUnavailable(f"{self._max_in_flight} messages wait for their confirm")
        if headers or not 0 < len(body) <= _ONE_FRAME_BYTES:
            # Tags are given in the order in which messages arrive.
            self._nagle.flush()
            properties = BasicProperties(
                message_id=message_id,
                delivery_mode=DeliveryMode.Persistent,
                headers=dict[str, Any](headers or {}),
            )
            channel.basic_publish(exchange, routing_key, body, properties, mandatory)
            confirm = self._confirms.add(self._loop.time(), message_id)
        else:
            frames = message_frames(
                channel.channel_number, exchange, routing_key, message_id, body, mandatory
            )
            confirm = self._confirms.add(self._loop.time(), message_id)
            self._nagle.add(frames, self._confirms.last)
        return confirm

    @property
    def in_flight(self) -> int:
        return len(self._confirms)

    @property
    def blocked(self) -> bool:
        return self._link is not None and self._link.blocked is not None

    @property
    def trouble(self) -> str | None:
        if self._publishing is None:
            return self._lost
        return self._link.blocked if self._link is not None else None

    async def extend(self, topology: Topology) -> None:
        extended = self._topology + topology
        if self._link is None:
            raise BrokerUnavailable(self._lost)
        await declare(self._link, topology)
        self._topology = extended

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
        async with self._delivering() as deliveries:
            spilled = [
                q.spills_to for q in self._topology.queues if q.name == queue and q.spills_to
            ]
            await deliveries.start([*spilled, queue], prefetch)
            yield deliveries

    @asynccontextmanager
    async def subscribe(self, exchange: str) -> AsyncIterator[Deliveries]:
        async with self._delivering() as deliveries:
            await deliveries.listen(exchange)
            yield deliveries

    @asynccontextmanager
    async def _delivering(self) -> AsyncIterator[RabbitDeliveries]:
        # Its own connection: a publisher that the broker throttles must not stop the acks.
        async with asyncio.timeout(self._publish_timeout + 10):
            link = await Link.connect(self._url)
        try:
            await declare(link, self._topology)
            yield RabbitDeliveries(link)
        finally:
            await asyncio.shield(link.close())

    async def depth(self, queue: str) -> Depth:
        async with self._asking_lock:
            if self._link is None:
                raise BrokerUnavailable(self._lost)
            try:
                async with asyncio.timeout(self._publish_timeout):
                    return await self._count(self._link, queue)
            except TimeoutError as error:
                self._asking = None
                raise BrokerUnavailable("no answer in time") from error

    async def _count(self, link: Link, queue: str) -> Depth:
        counted: asyncio.Future[Depth] = self._loop.create_future()

        def refused(reason: str) -> None:
            # A passive declare of a missing queue closes its channel.
            self._asking = None
            if self._counted is not None and not self._counted.done():
                self._counted.set_exception(BrokerUnavailable(reason))

        def answered(frame: Any) -> None:
            if not counted.done():
                counted.set_result(Depth(frame.method.message_count, frame.method.consumer_count))

        if self._asking is None:
            self._asking = await link.channel(on_closed=refused)
        self._counted = counted
        try:
            self._asking.queue_declare(queue, passive=True, callback=answered)
        except AMQPError as error:
            raise BrokerUnavailable(str(error)) from error
        try:
            return await link.until_closed(counted)
        finally:
            counted.cancel()  # nobody would hear of what becomes of it

    async def __aenter__(self) -> Self:
        await self._connect()
        self._tasks = [
            asyncio.create_task(self._supervise(), name="broker supervisor"),
            asyncio.create_task(self._expire(), name="confirm deadlines"),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drop("the gateway is closing")

    async def _connect(self) -> None:
        link = await Link.connect(self._url)
        try:
            await declare(link, self._topology)
            # A channel error leaves the connection up: end both, and begin again with both.
            channel = await link.channel(on_closed=link.end)
            confirms, nagle = self._new_confirms(), Nagle(link.write_frames)
            channel.add_on_return_callback(
                lambda _, method, properties, __: confirms.returned(
                    properties.message_id or "", f"{method.reply_text}: {method.routing_key}"
                )
            )
            link.inbound.acks[int(channel.channel_number)] = lambda tag, multiple: _acked(
                confirms, nagle, tag, multiple
            )
            await link.call(
                lambda answer: channel.confirm_delivery(
                    lambda frame: _answered(confirms, nagle, frame.method), callback=answer
                )
            )
        except BaseException:
            await link.close()
            raise
        self._confirms, self._nagle = confirms, nagle
        self._link, self._publishing = link, channel

    async def _supervise(self) -> None:
        """Keep the connection up: when it is lost, connect again with growing, random pauses."""
        while self._link is not None:
            reason = await asyncio.shield(self._link.closed)
            log.warning("broker lost", reason=reason)
            await self._drop(reason)
            pause = _FIRST_RETRY_SECONDS
            while True:
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 not a secret
                try:
                    async with asyncio.timeout(10):
                        await self._connect()
                    break
                except (BrokerError, TimeoutError) as error:
                    self._lost = str(error) or "no answer in time"
                    log.warning("broker unreachable", reason=self._lost)
                pause = min(pause * 2, _LAST_RETRY_SECONDS)
            self.counts.reconnects += 1
            log.info("broker connected again")

    async def _expire(self) -> None:
        """Give up on what gets no confirm, and after a while on the connection, too.

        A channel of 3.10 that meets a quorum queue between two leaders may never get a confirm
        from it again, and a node that is cut off from the others can give none.
        """
        oldest: tuple[Confirms, int] | None = None
        since = 0.0
        while True:
            await asyncio.sleep(_EXPIRY_CHECK_SECONDS)
            now, confirms, link = self._loop.time(), self._confirms, self._link
            confirms.expire(now)
            if link is None or link.blocked or not len(confirms):
                oldest = None
            elif oldest != (confirms, confirms.first):
                oldest, since = (confirms, confirms.first), now
            elif now - since > self._publish_timeout + _OVERDUE_SECONDS:
                link.end(f"no confirm for {now - since:.0f} s")

    async def _drop(self, reason: str) -> None:
        self._lost = reason
        link, self._link, self._publishing, self._asking = self._link, None, None, None
        self._confirms.fail_all(reason)
        if link is not None:
            await link.close()

    def _new_confirms(self) -> Confirms:
        return Confirms(self._publish_timeout, self._loop.create_future, self.counts)


def _answered(confirms: Confirms, nagle: Nagle, method: Any) -> None:
    """Basic.Ack or Basic.Nack."""
    if method.NAME == "Basic.Ack":
        _acked(confirms, nagle, method.delivery_tag, method.multiple)
    else:
        confirms.nack(method.delivery_tag, method.multiple)
        nagle.confirmed_below(confirms.first)


def _acked(confirms: Confirms, nagle: Nagle, tag: int, multiple: bool) -> None:
    confirms.ack(tag, multiple)
    nagle.confirmed_below(confirms.first)
