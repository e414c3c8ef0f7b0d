"""A connection is left unread for a moment after each reading."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from flashsale.broker.rabbitmq.gathered_reads import GatheredReads
from tests.unit.broker.socket_pairs import Stream, stream_and_peer

SECONDS = 0.3


class GatheredStream(Stream):
    """A stream that is left unread for a moment after each reading."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end)
        self._gathered = GatheredReads(SECONDS)

    def data_received(self, data: bytes) -> None:
        self._gathered.have_read(self.transport)
        super().data_received(data)

    async def until(self, readings: int) -> None:
        async with asyncio.timeout(20):
            while len(self.read) < readings:
                await asyncio.sleep(0.001)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[socket.socket, GatheredStream]]:
    async with stream_and_peer(GatheredStream) as ends:
        yield ends


async def test_what_comes_after_a_silence_is_read_at_once(
    ends: tuple[socket.socket, GatheredStream],
) -> None:
    there, stream = ends
    started = asyncio.get_running_loop().time()
    there.send(b"1")
    await stream.until(1)
    assert asyncio.get_running_loop().time() - started < SECONDS


async def test_what_comes_soon_after_a_reading_is_read_together(
    ends: tuple[socket.socket, GatheredStream],
) -> None:
    there, stream = ends
    there.send(b"1")
    await stream.until(1)
    for piece in (b"2", b"3", b"4"):
        there.send(piece)
        await asyncio.sleep(0.001)
    await stream.until(2)
    assert stream.read == [b"1", b"234"]
    there.send(b"5")
    await stream.until(3)
    assert stream.read[2:] == [b"5"]


async def test_a_connection_that_ends_while_it_is_unread_stays_ended(
    ends: tuple[socket.socket, GatheredStream],
) -> None:
    there, stream = ends
    failures: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    there.send(b"1")
    await stream.until(1)
    stream.transport.abort()
    await stream.lost.wait()
    read_again = asyncio.Event()
    loop.call_later(SECONDS, read_again.set)
    await read_again.wait()
    assert not failures
    assert stream.read == [b"1"]
