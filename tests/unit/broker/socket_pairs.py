"""pika's transport on one end of a pair of sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport


class _Loop:
    """The part of pika's loop that a transport uses."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.set_reader, self.remove_reader = loop.add_reader, loop.remove_reader
        self.set_writer, self.remove_writer = loop.add_writer, loop.remove_writer
        self.add_callback_threadsafe = loop.call_soon


class Stream:
    """The end of a socket that pika has, and what it reads."""

    def __init__(self, end: socket.socket) -> None:
        self.read: list[bytes] = []
        self.lost = asyncio.Event()
        nbio: Any = _Loop()
        protocol: Any = self
        self.transport: Any = _AsyncPlaintextTransport(end, protocol, nbio)

    def data_received(self, data: bytes) -> None:
        self.read.append(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, _: object) -> None:
        self.lost.set()


S = TypeVar("S", bound=Stream)


@asynccontextmanager
async def stream_and_peer(
    make: Callable[[socket.socket], S],
) -> AsyncIterator[tuple[socket.socket, S]]:
    """Yield the other end of the stream's socket, and the stream."""
    there, here = socket.socketpair()
    for end in (there, here):
        end.setblocking(False)
    stream = make(here)
    yield there, stream
    if not stream.lost.is_set():
        stream.transport.abort()
        await stream.lost.wait()
    there.close()
