"""One AMQP connection by pika, its callbacks turned into futures."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from flashsale.broker.port import BrokerUnavailable, TopologyMismatch
from flashsale.broker.rabbitmq.addresses import addresses, without_secrets
from flashsale.broker.rabbitmq.arguments import queue_arguments
from flashsale.broker.rabbitmq.inbound_frames import Inbound
from flashsale.broker.topology import Topology

T = TypeVar("T")

HEARTBEAT_SECONDS = 10
_ADDRESS_SECONDS = 3.0  # for one of several: who is frozen must not take the time of the others
_PRECONDITION_FAILED = 406


class LeanConnection(AsyncioConnection):
    """Joins all frames of one turn of the event loop into one write, and reads plain ones itself.

    pika makes three send() calls for a message: method, header and body frame. The hooks are
    private, so pyproject.toml pins pika's series and tests see that they are still called.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unwritten: list[bytes] = []
        self.inbound = Inbound()
        super().__init__(*args, **kwargs)

    _transport: Any

    def _on_data_available(self, data_in: bytes) -> None:
        pika: Any = self  # its stubs leave out what is private
        pika._frame_buffer += data_in
        # As pika does it; only that what stands in front is taken first, if it is plain.
        while pika._frame_buffer:
            pika._trim_frame_buffer(self.inbound.take(pika._frame_buffer))
            consumed, frame = pika._read_frame()
            if frame is None:
                return
            pika._trim_frame_buffer(consumed)
            pika._process_frame(frame)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unwritten.extend(marshaled_frames)

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames now, after what was marshalled before them."""
        self._unwritten.append(frames)
        self.flush()

    def flush(self) -> None:
        """Write what this turn has gathered so far."""
        joined = b"".join(self._unwritten)
        self._unwritten.clear()
        if joined and self._transport is not None:
            self._transport.write(joined)


class Link:
    """An open connection. `closed` ends, with the reason, when it is no more."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self.blocked: str | None = None
        self._connection: Any = None  # a LeanConnection

    @classmethod
    async def connect(cls, url: str) -> "Link":
        """Connect: to any one of several addresses. Raises `BrokerUnavailable`.

        Each time they are tried in another order, so that connections spread over the nodes.
        """
        found = addresses(url)
        if len(found) == 1:
            return await cls._connect(url)
        reasons = []
        for address in random.sample(found, len(found)):
            try:
                async with asyncio.timeout(_ADDRESS_SECONDS):
                    return await cls._connect(address)
            except (BrokerUnavailable, TimeoutError) as error:
                reasons.append(f"{without_secrets(address)}: {error or 'no answer in time'}")
        raise BrokerUnavailable("; ".join(reasons))

    @classmethod
    async def _connect(cls, url: str) -> "Link":
        link = cls()
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        parameters = pika.URLParameters(url)
        if "heartbeat=" not in url:
            parameters.heartbeat = HEARTBEAT_SECONDS
        connection = LeanConnection(
            parameters,
            on_open_callback=lambda _: _settle(opened, None),
            on_open_error_callback=lambda _, error: _fail(opened, _in_words(error)),
            on_close_callback=lambda _, error: link._on_gone(_in_words(error)),
            custom_ioloop=asyncio.get_running_loop(),
        )
        link._connection = connection
        try:
            await opened
        except asyncio.CancelledError:
            with suppress(AMQPError):
                connection.close()
            raise
        connection.add_on_connection_blocked_callback(
            lambda _, frame: setattr(link, "blocked", f"blocked: {_text(frame.method.reason)}")
        )
        connection.add_on_connection_unblocked_callback(
            lambda _, __: setattr(link, "blocked", None)
        )
        return link

    @property
    def inbound(self) -> Inbound:
        """What is read without pika."""
        inbound: Inbound = self._connection.inbound
        return inbound

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames now; a closed connection swallows them."""
        self._connection.write_frames(frames)

    async def channel(self, on_closed: Callable[[str], None] | None = None) -> Channel:
        """Open a channel; `on_closed` hears why it ended. Raises `BrokerUnavailable`."""

        def closed(_: Channel, error: Exception) -> None:
            if on_closed is not None:
                on_closed(_in_words(error))

        def opened(channel: Channel, answer: Callable[[Channel], None]) -> None:
            channel.add_on_close_callback(closed)
            answer(channel)

        channel: Channel = await self.call(
            lambda answer: self._connection.channel(on_open_callback=lambda c: opened(c, answer))
        )
        return channel

    async def call(self, ask: Callable[[Callable[[Any], None]], object]) -> Any:
        """Make an AMQP call whose answer comes by callback. Raises `BrokerUnavailable`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            ask(lambda value: _settle(answer, value))
        except AMQPError as error:
            raise BrokerUnavailable(_in_words(error)) from error
        return await self.until_closed(answer)

    async def until_closed(self, answer: asyncio.Future[T]) -> T:
        """Await something that never comes once the connection is closed."""
        await asyncio.wait((answer, self.closed), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        raise BrokerUnavailable(self.closed.result())

    async def close(self) -> None:
        """Close in good order; what is not acknowledged goes back to its queue."""
        connection = self._connection
        if connection is None or connection.is_closed:
            return
        if not connection.is_closing:
            connection.close()
        await asyncio.wait((self._gone,), timeout=2)
        if not self._gone.done():
            # A frozen broker never answers; its socket is let go.
            connection._terminate_stream(None)

    def end(self, reason: str) -> None:
        """Give the connection up for that reason; `close` then closes what is left of it."""
        _settle(self.closed, reason)

    def _on_gone(self, reason: str) -> None:
        _settle(self.closed, reason)
        _settle(self._gone, None)


async def declare(link: Link, topology: Topology) -> None:
    """Declare the topology, as often as one likes. Raises `TopologyMismatch`."""
    loop = asyncio.get_running_loop()
    refused: asyncio.Future[str] = loop.create_future()
    channel = await link.channel(on_closed=lambda reason: _settle(refused, reason))

    async def done(name: str, ask: Callable[[Callable[[Any], None]], object]) -> None:
        asked = asyncio.ensure_future(link.call(ask))
        await asyncio.wait((asked, refused), return_when=asyncio.FIRST_COMPLETED)
        if refused.done():
            asked.cancel()
            raise TopologyMismatch(f"{name}: {refused.result()}")
        await asked

    for exchange in topology.exchanges:
        await done(
            f"exchange {exchange.name}",
            lambda answer, e=exchange: channel.exchange_declare(  # type: ignore[misc]
                e.name, e.type, durable=True, callback=answer
            ),
        )
    for queue in topology.queues:
        await done(
            f"queue {queue.name}",
            lambda answer, q=queue: channel.queue_declare(  # type: ignore[misc]
                q.name, durable=True, arguments=queue_arguments(q), callback=answer
            ),
        )
    for binding in topology.bindings:
        await done(
            f"binding of {binding.queue}",
            lambda answer, b=binding: channel.queue_bind(  # type: ignore[misc]
                b.queue, b.exchange, b.key, callback=answer
            ),
        )
    channel.close()


def _settle(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[None], reason: str) -> None:
    if not future.done():
        future.set_exception(BrokerUnavailable(reason))


def _in_words(error: BaseException) -> str:
    if isinstance(error, ChannelClosedByBroker) and error.reply_code == _PRECONDITION_FAILED:
        return _text(error.reply_text)
    root = error
    while causes := _causes(root):
        root = causes[-1]
    text = _text(getattr(root, "reply_text", "")) or str(root)
    return text or type(root).__name__


def _causes(error: BaseException) -> list[BaseException]:
    # pika keeps them as arguments, as what a phase failed on, and as what each phase ended in.
    found = (*error.args, getattr(error, "exception", None), *getattr(error, "exceptions", ()))
    return [cause for cause in found if isinstance(cause, BaseException)]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
