"""Declare a topology on RabbitMQ."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from pika.channel import Channel

from flashsale.broker.port import BrokerUnavailable, TopologyMismatch
from flashsale.broker.rabbitmq.arguments import queue_arguments
from flashsale.broker.rabbitmq.connection import Connection
from flashsale.broker.rabbitmq.refusals import NotFound, declaration_refusal, other_limit
from flashsale.broker.topology import Binding, Exchange, Queue, Topology

log = structlog.get_logger()

_TRIES = 20
_AGAIN_SECONDS = 0.1

OtherLimits = Mapping[str, int]
"""The limits of those queues that have another limit than the topology asks for, by name."""


async def declare(connection: Connection, topology: Topology) -> OtherLimits:
    """Declare the topology; repeating it changes nothing.

    A queue that differs in nothing but its limit is left as it is, bindings included: the limit is
    changed by the one that consumes it (`limit_change`). Raises `TopologyMismatch`,
    `AccessRefused`, `BrokerRefused` or `BrokerUnavailable`.
    """
    for _ in range(_TRIES):
        try:
            return await _declare_once(connection, topology)
        except NotFound as error:
            # The consumer is giving the queue another limit: it has deleted it just now.
            log.info("declaring again", reason=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
    return await _declare_once(connection, topology)


async def _declare_once(connection: Connection, topology: Topology) -> OtherLimits:
    channel = await DeclaringChannel.open(connection)
    for exchange in topology.exchanges:
        await channel.declare_exchange(exchange)
    others: dict[str, int] = {}
    for queue in topology.queues:
        try:
            await channel.declare_queue(queue)
        except TopologyMismatch as error:
            limit = other_limit(error)
            if limit is None:
                raise
            # The broker names one difference and closes the channel. Is it the only one?
            channel = await DeclaringChannel.open(connection)
            await channel.declare_queue(replace(queue, max_length=limit))
            others[queue.name] = limit
    for binding in topology.bindings:
        if binding.queue not in others:
            await channel.bind(binding)
    channel.close()
    return others


def warn_of_other_limits(topology: Topology, others: OtherLimits) -> None:
    """Log the limits that are not those of the topology."""
    for queue in topology.queues:
        if queue.name in others:
            log.warning(
                "queue has another limit until its consumer changes it",
                queue=queue.name,
                limit=others[queue.name],
                wanted=queue.max_length,
            )


class DeclaringChannel:
    """A channel for declarations. The broker closes it when it refuses one."""

    def __init__(self, connection: Connection) -> None:
        """Prepare; `open` opens it."""
        self._connection = connection
        self._refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._channel: Channel

    @classmethod
    async def open(cls, connection: Connection) -> "DeclaringChannel":
        """Open one. Raises `BrokerUnavailable`."""
        opened = cls(connection)
        opened._channel = await connection.channel(on_closed=opened._on_closed)
        return opened

    async def declare_exchange(self, exchange: Exchange) -> None:
        """Declare an exchange. Raises the errors of `declare`."""
        await self._ask(
            f"exchange {exchange.name}",
            lambda answer: self._channel.exchange_declare(
                exchange.name, exchange.type, durable=True, callback=answer
            ),
        )

    async def declare_queue(self, queue: Queue) -> None:
        """Declare a queue. Raises the errors of `declare`."""
        await self._ask(
            f"queue {queue.name}",
            lambda answer: self._channel.queue_declare(
                queue.name, durable=True, arguments=queue_arguments(queue), callback=answer
            ),
        )

    async def bind(self, binding: Binding) -> None:
        """Bind a queue. Raises the errors of `declare`."""
        await self._ask(
            f"binding of {binding.queue}",
            lambda answer: self._channel.queue_bind(
                binding.queue, binding.exchange, binding.key, callback=answer
            ),
        )

    async def unbind(self, binding: Binding) -> None:
        """Remove a binding, if it exists. Raises the errors of `declare`."""
        await self._ask(
            f"binding of {binding.queue}",
            lambda answer: self._channel.queue_unbind(
                binding.queue, binding.exchange, binding.key, callback=answer
            ),
        )

    async def count(self, queue: str) -> tuple[int, int]:
        """Return the ready messages and the consumers of a queue. Raises the errors of `declare`"""
        frame = await self._ask(
            f"queue {queue}",
            lambda answer: self._channel.queue_declare(queue, passive=True, callback=answer),
        )
        return frame.method.message_count, frame.method.consumer_count

    async def delete(self, queue: str, *, if_idle: bool) -> None:
        """Delete a queue, with `if_idle` only if it is empty and has no consumer.

        Raises the errors of `declare`.
        """
        await self._ask(
            f"queue {queue}",
            lambda answer: self._channel.queue_delete(
                queue, if_unused=if_idle, if_empty=if_idle, callback=answer
            ),
        )

    @property
    def is_open(self) -> bool:
        """Whether the broker has refused nothing yet."""
        return not self._refused.done()

    def close(self) -> None:
        """Close the channel."""
        if self._channel.is_open:
            self._channel.close()

    async def _ask(self, name: str, ask: Callable[[Callable[[Any], None]], object]) -> Any:
        asking = asyncio.ensure_future(self._connection.call(ask))
        try:
            await asyncio.wait((asking, self._refused), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not asking.done():
                asking.cancel()
        if self._refused.done() and not (asking.done() and asking.exception() is None):
            if asking.done() and isinstance(lost := asking.exception(), BrokerUnavailable):
                raise lost
            raise declaration_refusal(name, self._refused.result())
        return await asking

    def _on_closed(self, reason: str) -> None:
        if not self._refused.done():
            self._refused.set_result(reason)
