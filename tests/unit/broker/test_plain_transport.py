"""pika's transport without TLS: sent at once and in order, read in large pieces."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flashsale.broker.rabbitmq import plain_transport
from tests.unit.broker.socket_pairs import Stream, stream_and_peer

ONE_MB = 1024 * 1024


@pytest.fixture
async def ends() -> AsyncIterator[tuple[socket.socket, Stream]]:
    async with stream_and_peer(Stream) as ends:
        plain_transport.read_once(ends[1].transport)
        yield ends


async def test_data_is_sent_before_the_next_turn_of_the_event_loop(
    ends: tuple[socket.socket, Stream],
) -> None:
    there, stream = ends
    plain_transport.send(stream.transport, b"one")
    plain_transport.send(stream.transport, b"two")
    assert there.recv(100) == b"onetwo"


async def test_what_the_kernel_does_not_take_follows_in_order(
    ends: tuple[socket.socket, Stream],
) -> None:
    there, stream = ends
    pieces = [bytes([number]) * ONE_MB for number in range(4)]
    for piece in pieces:
        plain_transport.send(stream.transport, piece)
    loop = asyncio.get_running_loop()
    came = bytearray()
    async with asyncio.timeout(20):
        while len(came) < 4 * ONE_MB:
            came += await loop.sock_recv(there, ONE_MB)
    assert came == b"".join(pieces)


async def test_an_error_ends_the_connection(
    ends: tuple[socket.socket, Stream], caplog: pytest.LogCaptureFixture
) -> None:
    there, stream = ends
    there.close()
    plain_transport.send(stream.transport, b"one")
    async with asyncio.timeout(20):
        await stream.lost.wait()
    plain_transport.send(stream.transport, b"two")  # is dropped


@pytest.mark.parametrize("read", [plain_transport.read_once, plain_transport.read_all])
async def test_all_that_comes_is_read_in_large_pieces(
    ends: tuple[socket.socket, Stream], read: Any
) -> None:
    there, stream = ends
    read(stream.transport)
    sent = bytes(range(256)) * 400  # more than one piece
    there.send(sent)
    async with asyncio.timeout(20):
        while len(b"".join(stream.read)) < len(sent):
            await asyncio.sleep(0)
    assert b"".join(stream.read) == sent
    assert len(stream.read) == 2


def test_a_transport_with_tls_is_left_to_pika() -> None:
    written: list[bytes] = []

    class Transport:
        write = staticmethod(written.append)

    plain_transport.read_once(Transport())
    plain_transport.read_all(Transport())
    plain_transport.send(Transport(), b"one")
    assert written == [b"one"]
    assert not vars(Transport).keys() & {"_MAX_RECV_BYTES", "_MAX_CONSUME_BYTES"}
