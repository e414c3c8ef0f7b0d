"""One AMQP connection by pika, with futures in place of callbacks."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from flashsale.broker.port import AccessRefused, BrokerUnavailable
from flashsale.broker.rabbitmq import plain_transport
from flashsale.broker.rabbitmq.addresses import addresses, parse_address, without_secrets
from flashsale.broker.rabbitmq.gathered_reads import GatheredReads
from flashsale.broker.rabbitmq.inbound_frames import InboundFrames, frame_end
from flashsale.broker.rabbitmq.refusals import connection_refusal

T = TypeVar("T")

HEARTBEAT_SECONDS = 10
_ADDRESS_SECONDS = 3.0  # for one of several addresses: a frozen node must not delay the others
_PRECONDITION_FAILED = 406


class PikaConnection(AsyncioConnection):
    """pika's connection with one write for each turn of the event loop, and a faster parser.

    pika calls send() three times for a message: for its method, header and body frame. The hooks
    are private, so pyproject.toml pins pika's minor version and tests check that pika calls them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unwritten: list[bytes] = []
        self.inbound_frames = InboundFrames()
        super().__init__(*args, **kwargs)

    _transport: Any
    _gathered_reads: GatheredReads | None = None

    def gather_reads(self, seconds: float) -> None:
        """Leave the connection unread for `seconds` after each reading, and then read all."""
        self._gathered_reads = GatheredReads(seconds)
        plain_transport.read_all(self._transport)

    def _proto_connection_made(self, transport: Any) -> None:
        pika: Any = super()  # pika's stubs lack private names
        pika._proto_connection_made(transport)
        plain_transport.read_once(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        pika: Any = self  # pika's stubs lack private names
        if self._gathered_reads is not None:
            self._gathered_reads.have_read(self._transport)
        buffer = pika._frame_buffer + data_in
        at = 0
        # pika's own loop, but plain frames are parsed without pika, and pika gets one frame at a
        # time: it would copy all that follows for each frame that it takes off its buffer.
        while at < len(buffer):
            at = self.inbound_frames.take(buffer, at)
            pika._frame_buffer = buffer[at : frame_end(buffer, at)]
            consumed, frame = pika._read_frame()
            if frame is None:
                break
            at += consumed
            pika._process_frame(frame)
        pika._frame_buffer = buffer[at:]
        pika.bytes_received += at

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unwritten.extend(marshaled_frames)

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames now, after the frames that were marshalled before them."""
        self._unwritten.append(frames)
        self.flush()

    def flush(self) -> None:
        """Write the frames of this turn of the event loop."""
        joined = b"".join(self._unwritten)
        self._unwritten.clear()
        if joined and self._transport is not None:
            plain_transport.send(self._transport, joined)


class Connection:
    """An open connection. `closed` ends with the reason when the connection is lost."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self.blocked: str | None = None
        self._pika: Any = None  # a PikaConnection

    @classmethod
    async def connect(cls, url: str) -> "Connection":
        """Connect to one of the addresses in the URL. Raises `BrokerUnavailable`.

        It is an `AccessRefused` if every address refuses the user. Try the addresses in random
        order, so that connections spread over the nodes.
        """
        found = addresses(url)
        if len(found) == 1:
            return await cls._connect(url)
        reasons = []
        kinds = set()
        for address in random.sample(found, len(found)):
            try:
                async with asyncio.timeout(_ADDRESS_SECONDS):
                    return await cls._connect(address)
            except (BrokerUnavailable, TimeoutError) as error:
                kinds.add(type(error))
                reasons.append(f"{without_secrets(address)}: {error or 'no answer in time'}")
        kind = AccessRefused if kinds == {AccessRefused} else BrokerUnavailable
        raise kind("; ".join(reasons))

    @classmethod
    async def _connect(cls, url: str) -> "Connection":
        connection = cls()
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            parameters = parse_address(url)
        except ValueError as error:  # a file that it names may be gone since the start
            raise BrokerUnavailable(str(error)) from error
        if "heartbeat=" not in url:
            parameters.heartbeat = HEARTBEAT_SECONDS
        pika_connection = PikaConnection(
            parameters,
            on_open_callback=lambda _: _settle(opened, None),
            on_open_error_callback=lambda _, error: _fail(opened, _in_words(error)),
            on_close_callback=lambda _, error: connection._on_gone(_in_words(error)),
            custom_ioloop=asyncio.get_running_loop(),
        )
        connection._pika = pika_connection
        try:
            await opened
        except asyncio.CancelledError:
            with suppress(AMQPError):
                pika_connection.close()
            raise
        pika_connection.add_on_connection_blocked_callback(
            lambda _, frame: setattr(
                connection, "blocked", f"blocked: {_text(frame.method.reason)}"
            )
        )
        pika_connection.add_on_connection_unblocked_callback(
            lambda _, __: setattr(connection, "blocked", None)
        )
        return connection

    @property
    def inbound_frames(self) -> InboundFrames:
        """The parser of plain frames, which works without pika."""
        frames: InboundFrames = self._pika.inbound_frames
        return frames

    def gather_reads(self, seconds: float) -> None:
        """Leave the connection unread for `seconds` after each reading."""
        self._pika.gather_reads(seconds)

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames now. A closed connection ignores them."""
        self._pika.write_frames(frames)

    async def channel(self, on_closed: Callable[[str], None] | None = None) -> Channel:
        """Open a channel; `on_closed` gets the reason of its end. Raises `BrokerUnavailable`."""

        def closed(_: Channel, error: Exception) -> None:
            if on_closed is not None:
                on_closed(_in_words(error))

        def opened(channel: Channel, answer: Callable[[Channel], None]) -> None:
            channel.add_on_close_callback(closed)
            answer(channel)

        channel: Channel = await self.call(
            lambda answer: self._pika.channel(on_open_callback=lambda c: opened(c, answer))
        )
        return channel

    async def call(self, ask: Callable[[Callable[[Any], None]], object]) -> Any:
        """Return the answer of an AMQP call that takes a callback. Raises `BrokerUnavailable`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            ask(lambda value: _settle(answer, value))
        except AMQPError as error:
            raise BrokerUnavailable(_in_words(error)) from error
        return await self.until_closed(answer)

    async def until_closed(self, answer: asyncio.Future[T]) -> T:
        """Return the result of a future. Raises `BrokerUnavailable` if the connection is lost."""
        await asyncio.wait((answer, self.closed), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        raise BrokerUnavailable(self.closed.result())

    async def close(self) -> None:
        """Close the connection. The broker requeues unacknowledged messages."""
        pika_connection = self._pika
        if pika_connection is None or pika_connection.is_closed:
            return
        if not pika_connection.is_closing:
            pika_connection.close()
        await asyncio.wait((self._gone,), timeout=2)
        if not self._gone.done():
            # A frozen broker never answers the close: drop the socket.
            pika_connection._terminate_stream(None)

    def end(self, reason: str) -> None:
        """Mark the connection as lost for this reason; `close` releases its resources."""
        _settle(self.closed, reason)

    def _on_gone(self, reason: str) -> None:
        _settle(self.closed, reason)
        _settle(self._gone, None)


def _settle(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[None], reason: str) -> None:
    if not future.done():
        future.set_exception(connection_refusal(reason))


def _in_words(error: BaseException) -> str:
    if isinstance(error, ChannelClosedByBroker) and error.reply_code == _PRECONDITION_FAILED:
        return _text(error.reply_text)
    root = error
    while causes := _causes(root):
        root = causes[-1]
    text = _text(getattr(root, "reply_text", "")) or str(root)
    return text or type(root).__name__


def _causes(error: BaseException) -> list[BaseException]:
    # pika puts them in `args`, in `exception` and in `exceptions`, by the phase that failed.
    found = (*error.args, getattr(error, "exception", None), *getattr(error, "exceptions", ()))
    return [cause for cause in found if isinstance(cause, BaseException)]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
