"""RabbitMQ by pika: confirmed publishing over one supervised connection, consuming over others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

import structlog
from pika.channel import Channel
from pika.exceptions import AMQPError

from flashsale.broker.port import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    Deliveries,
    Depth,
    StartTask,
    start_unsupervised,
)
from flashsale.broker.rabbitmq.confirms import Confirms
from flashsale.broker.rabbitmq.connection import Link, declare
from flashsale.broker.rabbitmq.consumer import RabbitDeliveries
from flashsale.broker.rabbitmq.publisher import ConfirmedChannel
from flashsale.broker.topology import Topology
from flashsale.domain.backoff import Backoff
from flashsale.messages.headers import Headers

log = structlog.get_logger()

_EXPIRY_CHECK_SECONDS = 0.05
_OVERDUE_SECONDS = 4.0  # a confirm after its deadline, of a broker that is slow and no more
_RENEWAL_SECONDS = 2.0
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
        start_task: StartTask = start_unsupervised,
    ) -> None:
        """Prepare; entering connects. A publish gets its confirm in `publish_timeout` seconds.

        More than `max_in_flight` unconfirmed messages are refused, so that a broker which stops
        reading fills a list of known length and not the memory.
        """
        super().__init__()
        self._start_task = start_task
        self._url = url
        self._topology = topology
        self._publish_timeout = publish_timeout
        self._max_in_flight = max_in_flight
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._publishing: ConfirmedChannel | None = None
        self._retired: list[ConfirmedChannel] = []  # until the broker has answered for all on them
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
        if len(channel.confirms) >= self._max_in_flight:
            raise BrokerUnavailable(f"{self._max_in_flight} messages wait for their confirm")
        return channel.publish(exchange, routing_key, body, message_id, headers, mandatory)

    @property
    def in_flight(self) -> int:
        return sum(len(channel.confirms) for channel in self._channels())

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
            self._start_task("broker connection", self._keep_connected),
            self._start_task("confirm deadlines", self._expire),
            self._start_task("channel renewal", self._renew),
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
            channel = await self._open_channel(link)
        except BaseException:
            await link.close()
            raise
        self._link, self._publishing = link, channel

    async def _open_channel(self, link: Link) -> ConfirmedChannel:
        confirms = Confirms(self._publish_timeout, self._loop.create_future, self.counts)
        return await ConfirmedChannel(link, confirms).open()

    async def _keep_connected(self) -> None:
        """Keep the connection up: when it is lost, connect again with growing, random pauses."""
        while True:
            if self._link is not None:
                reason = await asyncio.shield(self._link.closed)
                log.warning("broker lost", reason=reason)
                await self._drop(reason)
            backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
            while True:
                await asyncio.sleep(backoff.next())
                try:
                    async with asyncio.timeout(10):
                        await self._connect()
                    break
                except (BrokerError, TimeoutError) as error:
                    self._lost = str(error) or "no answer in time"
                    log.warning("broker unreachable", reason=self._lost)
            self.counts.reconnects += 1
            log.info("broker connected again")

    async def _expire(self) -> None:
        """Give up on what gets no confirm, and after a while on the connection, too.

        A channel of 3.10 that meets a quorum queue between two leaders may never get a confirm
        from it again, and a node that is cut off from the others can give none.
        """
        oldest: tuple[ConfirmedChannel, int] | None = None
        since = 0.0
        while True:
            await asyncio.sleep(_EXPIRY_CHECK_SECONDS)
            now, link = self._loop.time(), self._link
            waiting = []
            for channel in self._channels():
                channel.confirms.expire(now)
                if len(channel.confirms):
                    waiting.append((channel, channel.confirms.first))
            if link is None or link.blocked or not waiting:
                oldest = None
            elif oldest != waiting[0]:
                oldest, since = waiting[0], now
            elif now - since > self._publish_timeout + _OVERDUE_SECONDS:
                link.end(f"no confirm for {now - since:.0f} s")

    async def _renew(self) -> None:
        """Go on with another channel after refusals, some seconds later.

        One whose first message meets a quorum queue between two leaders refuses that and all that
        come after it, though the queue has its leader again: it asks the one that is gone (seen on
        3.10). From outside this is as a full queue, and where one is full, a new channel is cheap.
        """
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            for channel in [c for c in self._retired if not len(c.confirms)]:
                self._retired.remove(channel)
                channel.close()
            link, refusing = self._link, self._publishing
            if link is None or link.blocked or refusing is None or self._retired:
                continue
            if not refusing.confirms.refused:
                continue
            with suppress(BrokerError, TimeoutError):  # the link's end, or to be tried again
                async with asyncio.timeout(self._publish_timeout):
                    channel = await self._open_channel(link)
                if self._publishing is refusing:
                    self._retired.append(refusing)
                    self._publishing = channel

    async def _drop(self, reason: str) -> None:
        self._lost = reason
        channels = self._channels()
        link, self._link, self._publishing, self._asking = self._link, None, None, None
        self._retired.clear()
        for channel in channels:
            channel.confirms.fail_all(reason)
        if link is not None:
            await link.close()

    def _channels(self) -> list[ConfirmedChannel]:
        """Those on which messages may be in flight, the oldest first."""
        return [*self._retired, *([self._publishing] if self._publishing else [])]
