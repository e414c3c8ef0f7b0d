"""The proxy of the fault tests breaks connections as it is told."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from tests.faults.proxy import Connection, Proxy, proxy


@pytest.fixture
async def link() -> AsyncIterator[Proxy]:
    """A proxy in front of an echo server."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxy(lambda: port) as laid:
        yield laid


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Ends]]


@pytest.fixture
async def connect(link: Proxy) -> AsyncIterator[Connect]:
    """Connect to a port; close the connections at the end."""
    writers = []

    async def connect() -> Ends:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def said(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes, seconds: float = 5
) -> bytes:
    writer.write(words)
    async with asyncio.timeout(seconds):
        return await reader.readexactly(len(words))


async def test_a_whole_proxy_passes_everything_on(link: Proxy, connect: Connect) -> None:
    reader, writer = await connect()
    words = bytes(range(256)) * 1000
    assert await said(reader, writer, words) == words


async def test_a_proxy_delays_each_direction(link: Proxy, connect: Connect) -> None:
    reader, writer = await connect()
    link.there.delay = link.back.delay = 0.05
    started = time.monotonic()
    assert await said(reader, writer, b"hello") == b"hello"
    assert time.monotonic() - started >= 0.1


async def test_a_slice_limits_the_bytes_that_arrive_at_a_time(
    link: Proxy, connect: Connect
) -> None:
    reader, writer = await connect()
    link.back.slice, link.back.delay = 3, 0.02
    writer.write(b"0123456789")
    async with asyncio.timeout(5):
        pieces = [await reader.read(100) for _ in range(4)]
    assert pieces == [b"012", b"345", b"678", b"9"]


async def test_a_limited_proxy_passes_bytes_at_its_rate(link: Proxy, connect: Connect) -> None:
    reader, writer = await connect()
    link.there.limit, link.there.slice = 100_000.0, 1000
    started = time.monotonic()
    await said(reader, writer, b"x" * 20_000)
    assert time.monotonic() - started >= 0.2


async def test_bytes_sent_to_a_silent_proxy_arrive_when_it_has_healed(
    link: Proxy, connect: Connect
) -> None:
    reader, writer = await connect()
    link.back.silent = True
    with pytest.raises(TimeoutError):
        await said(reader, writer, b"hello", seconds=0.1)
    link.heal()
    async with asyncio.timeout(5):
        assert await reader.readexactly(5) == b"hello"


async def test_a_proxy_reset_ends_all_connections_and_new_ones_get_through(
    link: Proxy, connect: Connect
) -> None:
    reader, writer = await connect()
    await said(reader, writer, b"hello")
    link.reset()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    reader, writer = await connect()
    assert await said(reader, writer, b"again") == b"again"


async def test_a_cut_proxy_refuses_connections_until_it_is_healed(
    link: Proxy, connect: Connect
) -> None:
    reader, writer = await connect()
    await said(reader, writer, b"hello")
    link.cut()
    assert await reader.read() == b""
    reader, _ = await connect()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    link.heal()
    reader, writer = await connect()
    assert await said(reader, writer, b"again") == b"again"


async def test_a_proxy_can_lose_the_answers_of_one_connection(
    link: Proxy, connect: Connect
) -> None:
    def lose(connection: Connection, data: bytes) -> None:
        connection.lost = connection.lost or b"COMMIT" in data

    link.there.watch = lose
    first, second = await connect(), await connect()
    assert await said(*first, b"BEGIN") == b"BEGIN"
    with pytest.raises(TimeoutError):
        await said(*first, b"COMMIT", seconds=0.1)
    assert await said(*second, b"BEGIN") == b"BEGIN"
