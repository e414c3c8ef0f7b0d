"""Declare a topology on RabbitMQ."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
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

OtherQueues = Mapping[str, Queue]
"""The queues that are as earlier versions or settings declared them, by name."""


async def declare(connection: Connection, topology: Topology) -> OtherQueues:
    """Declare the topology; repeating it changes nothing.

    A queue that earlier versions or settings declared in another way is left as it is. If it has a
    limit, its consumer changes it (`change`), and so its bindings are left, too. The others are
    replaced by `flashsale migrate` (`replacement`).

    Raises `TopologyMismatch`, `AccessRefused`, `BrokerRefused` or `BrokerUnavailable`.
    """
    for _ in range(_TRIES):
        try:
            return await _declare_once(connection, topology)
        except NotFound as error:
            # The consumer is changing the queue: it has deleted it just now.
            log.info("declaring again", reason=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
    return await _declare_once(connection, topology)


async def _declare_once(connection: Connection, topology: Topology) -> OtherQueues:
    channel = await DeclaringChannel.open(connection)
    for exchange in topology.exchanges:
        await channel.declare_exchange(exchange)
    others: dict[str, Queue] = {}
    for queue in topology.queues:
        try:
            await channel.declare_queue(queue)
        except TopologyMismatch as error:
            others[queue.name] = await _existing(connection, queue, error)
            channel = await DeclaringChannel.open(connection)
    for binding in topology.bindings:
        if binding.queue not in others or others[binding.queue].max_length is None:
            await channel.bind(binding)
    channel.close()
    return others


async def _existing(connection: Connection, wanted: Queue, mismatch: TopologyMismatch) -> Queue:
    """Return the queue as it is, if earlier versions or settings declare it so.

    Raises the mismatch if not. A quorum queue never becomes a classic one: 3.10 leaves channels
    without answers that published to the former.
    """
    forms = [wanted]
    if wanted.type == "quorum":
        # In version 0.1.0 queues were classic by default, and quorum queues moved nothing.
        forms += [replace(wanted, type="classic"), replace(wanted, spills_to=None)]
    for form in forms:
        try:
            await _declare_alone(connection, form)
        except TopologyMismatch as error:
            limit = other_limit(error)
            if limit is None:
                continue
            form = replace(form, max_length=limit)
            with suppress(TopologyMismatch):
                await _declare_alone(connection, form)
                return form
        else:
            return form
    raise mismatch


async def _declare_alone(connection: Connection, queue: Queue) -> None:
    """Declare a queue on a channel of its own, which the broker closes if it refuses."""
    channel = await DeclaringChannel.open(connection)
    await channel.declare_queue(queue)
    channel.close()


def warn_of_others(topology: Topology, others: OtherQueues) -> None:
    """Log the queues that are not as the topology asks for."""
    for queue in topology.queues:
        if queue.name not in others:
            continue
        existing = others[queue.name]
        if queue.max_length is not None:
            log.warning(
                "queue is as it was declared before until its consumer changes it",
                queue=queue.name,
                limit=existing.max_length,
                type=existing.type,
                wanted_limit=queue.max_length,
                wanted_type=queue.type,
            )
        else:
            log.warning(
                "queue has another type until `flashsale migrate` replaces it",
                queue=queue.name,
                type=existing.type,
                wanted_type=queue.type,
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
