"""The RabbitMQ adapter, by pika: one supervised connection to publish, others to consume."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
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
from flashsale.broker.rabbitmq.connection import Connection
from flashsale.broker.rabbitmq.consumer import RabbitMQDeliveries
from flashsale.broker.rabbitmq.declaration import OtherLimits, declare, warn_of_other_limits
from flashsale.broker.rabbitmq.limit_change import changing_limit
from flashsale.broker.rabbitmq.publisher import ConfirmedChannel
from flashsale.broker.topology import Queue, Topology
from flashsale.domain.backoff import Backoff
from flashsale.messages.headers import Headers

log = structlog.get_logger()

_Opened = tuple[Connection, RabbitMQDeliveries, OtherLimits]

_EXPIRY_CHECK_SECONDS = 0.05
_SLOW_BROKER_SECONDS = 4.0  # a slow broker may confirm so long after the deadline
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
        """Prepare; entering connects. A publish waits `publish_timeout` seconds for its confirm.

        Refuse to publish while `max_in_flight` messages are unconfirmed: this bounds the memory
        if the broker stops reading.
        """
        super().__init__()
        self._start_task = start_task
        self._url = url
        self._topology = topology
        self._publish_timeout = publish_timeout
        self._max_in_flight = max_in_flight
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._publish_channel: ConfirmedChannel | None = None
        # Replaced channels, open until the broker has answered for all their messages.
        self._retired: list[ConfirmedChannel] = []
        self._count_channel: Channel | None = None
        self._count_lock = asyncio.Lock()
        self._pending_count: asyncio.Future[Depth] | None = None
        self._lost_reason = "not connected"
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
        channel, connection = self._publish_channel, self._connection
        if channel is None or connection is None or connection.blocked or not channel.is_open:
            raise BrokerUnavailable(self.trouble or "the channel is closing")
        if len(channel.confirms) >= self._max_in_flight:
            raise BrokerUnavailable(f"{self._max_in_flight} messages wait for their confirm")
        return channel.publish(exchange, routing_key, body, message_id, headers, mandatory)

    @property
    def in_flight(self) -> int:
        return sum(len(channel.confirms) for channel in self._channels())

    @property
    def blocked(self) -> bool:
        return self._connection is not None and self._connection.blocked is not None

    @property
    def trouble(self) -> str | None:
        if self._publish_channel is None:
            return self._lost_reason
        return self._connection.blocked if self._connection is not None else None

    async def extend(self, topology: Topology) -> None:
        extended = self._topology + topology
        if self._connection is None:
            raise BrokerUnavailable(self._lost_reason)
        await declare(self._connection, topology)
        self._topology = extended

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
        async with self._open_deliveries() as (connection, deliveries, others):
            declared = next((q for q in self._topology.queues if q.name == queue), Queue(queue))
            spilled = [declared.spills_to] if declared.spills_to else []
            await deliveries.start([*spilled, queue], prefetch)
            change = changing_limit(connection, deliveries, self._topology, declared)
            async with change if queue in others else nullcontext():
                yield deliveries

    @asynccontextmanager
    async def subscribe(self, exchange: str) -> AsyncIterator[Deliveries]:
        async with self._open_deliveries() as (_, deliveries, __):
            await deliveries.subscribe(exchange)
            yield deliveries

    @asynccontextmanager
    async def _open_deliveries(self) -> AsyncIterator[_Opened]:
        # A connection of its own: the broker must be able to block publishers but not acks.
        try:
            async with asyncio.timeout(self._publish_timeout + 10):
                connection = await Connection.connect(self._url)
        except TimeoutError as error:
            raise BrokerUnavailable("no answer in time") from error
        try:
            others = await declare(connection, self._topology)
            yield connection, RabbitMQDeliveries(connection), others
        finally:
            await asyncio.shield(connection.close())

    async def depth(self, queue: str) -> Depth:
        async with self._count_lock:
            if self._connection is None:
                raise BrokerUnavailable(self._lost_reason)
            try:
                async with asyncio.timeout(self._publish_timeout):
                    return await self._count(self._connection, queue)
            except TimeoutError as error:
                self._count_channel = None
                raise BrokerUnavailable("no answer in time") from error

    async def _count(self, connection: Connection, queue: str) -> Depth:
        counted: asyncio.Future[Depth] = self._loop.create_future()

        def refused(reason: str) -> None:
            # The broker closes the channel if a passively declared queue does not exist.
            self._count_channel = None
            if self._pending_count is not None and not self._pending_count.done():
                self._pending_count.set_exception(BrokerUnavailable(reason))

        def answered(frame: Any) -> None:
            if not counted.done():
                counted.set_result(Depth(frame.method.message_count, frame.method.consumer_count))

        if self._count_channel is None:
            self._count_channel = await connection.channel(on_closed=refused)
        self._pending_count = counted
        try:
            self._count_channel.queue_declare(queue, passive=True, callback=answered)
        except AMQPError as error:
            raise BrokerUnavailable(str(error)) from error
        try:
            return await connection.until_closed(counted)
        finally:
            counted.cancel()  # after a failure nobody awaits it

    async def __aenter__(self) -> Self:
        await self._connect()
        self._tasks = [
            self._start_task("broker connection", self._keep_connected),
            self._start_task("confirm deadlines", self._expire_confirms),
            self._start_task("channel renewal", self._renew_channel),
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
        await self._disconnect("the gateway is closing")

    async def _connect(self) -> None:
        connection = await Connection.connect(self._url)
        try:
            warn_of_other_limits(self._topology, await declare(connection, self._topology))
            channel = await self._open_channel(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection, self._publish_channel = connection, channel

    async def _open_channel(self, connection: Connection) -> ConfirmedChannel:
        confirms = Confirms(self._publish_timeout, self._loop.create_future, self.counts)
        return await ConfirmedChannel(connection, confirms).open()

    async def _keep_connected(self) -> None:
        """Reconnect with back-off and jitter whenever the connection is lost."""
        while True:
            if self._connection is not None:
                reason = await asyncio.shield(self._connection.closed)
                log.warning("broker lost", reason=reason)
                await self._disconnect(reason)
            backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
            while True:
                await asyncio.sleep(backoff.next())
                try:
                    async with asyncio.timeout(10):
                        await self._connect()
                    break
                except (BrokerError, TimeoutError) as error:
                    self._lost_reason = str(error) or "no answer in time"
                    log.warning("broker unreachable", reason=self._lost_reason)
            self.counts.reconnects += 1
            log.info("broker connected again")

    async def _expire_confirms(self) -> None:
        """Fail messages past their deadline; if confirms stay away for longer, reconnect.

        RabbitMQ 3.10 may never confirm on a channel that published to a quorum queue during a
        leader election. A node without a majority confirms nothing.
        """
        oldest: tuple[ConfirmedChannel, int] | None = None
        since = 0.0
        while True:
            await asyncio.sleep(_EXPIRY_CHECK_SECONDS)
            now, connection = self._loop.time(), self._connection
            waiting = []
            for channel in self._channels():
                channel.confirms.expire(now)
                if len(channel.confirms):
                    waiting.append((channel, channel.confirms.first))
            if connection is None or connection.blocked or not waiting:
                oldest = None
            elif oldest != waiting[0]:
                oldest, since = waiting[0], now
            elif now - since > self._publish_timeout + _SLOW_BROKER_SECONDS:
                connection.end(f"no confirm for {now - since:.0f} s")

    async def _renew_channel(self) -> None:
        """Replace the publish channel some seconds after it has refused a message.

        If the first message of a channel meets a quorum queue during a leader election, 3.10
        refuses it and all later ones on that channel, as it keeps asking the old leader. This looks
        the same as a full queue. If the queue is really full, a new channel costs little.
        """
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            for channel in [c for c in self._retired if not len(c.confirms)]:
                self._retired.remove(channel)
                channel.close()
            connection, refusing = self._connection, self._publish_channel
            if connection is None or connection.blocked or refusing is None or self._retired:
                continue
            if not refusing.confirms.refused:
                continue
            # If the connection is lost, the supervisor acts; else the next round tries again.
            with suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(self._publish_timeout):
                    channel = await self._open_channel(connection)
                if self._publish_channel is refusing:
                    self._retired.append(refusing)
                    self._publish_channel = channel

    async def _disconnect(self, reason: str) -> None:
        self._lost_reason = reason
        channels = self._channels()
        connection, self._connection = self._connection, None
        self._publish_channel = self._count_channel = None
        self._retired.clear()
        for channel in channels:
            channel.confirms.fail_all(reason)
        if connection is not None:
            await connection.close()

    def _channels(self) -> list[ConfirmedChannel]:
        """Return the channels that may have messages in flight, the oldest first."""
        return [
            *self._retired,
            *([self._publish_channel] if self._publish_channel else []),
        ]
