"""Connections: what is not HTTP, what comes too slowly, what stays idle, and the end."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from flashsale.observability import unreadable_requests
from gateway.http import json_body
from gateway.intake.accept_order import OrderIntake
from gateway.server.connection import Connection
from gateway.state.orders import KnownOrder
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway

ORDER = b'{"sku": "tv", "customer_id": "c-1"}'
POST = (
    b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(ORDER)
)
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


class Client:
    """A client that sends bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.send = writer.write
        self.send_end = writer.write_eof
        self._reader = reader

    async def rest(self) -> bytes:
        """Everything until the connection ends."""
        async with asyncio.timeout(60):
            return await self._reader.read()

    async def problem(self) -> tuple[int, str]:
        """Status and type of the one answer that comes; it tells nothing of the server."""
        head, _, body = (await self.rest()).partition(b"\r\n\r\n")
        told = json.loads(body)  # and nothing else
        status = head.split()[1]
        assert head.startswith(b"HTTP/1.1 ")
        assert b"\r\nContent-Type: application/problem+json" in head
        assert b"\r\nCache-Control: no-store" in head
        assert b"\r\nX-Content-Type-Options: nosniff" in head
        assert b"\r\nConnection: close" in head
        assert b"server:" not in head.lower()
        assert b"aiohttp" not in head + body
        assert b"evil" not in head + body  # a part of what these tests send
        assert told["status"] == int(status)
        return told["status"], told["type"].removeprefix("/problems/")


@asynccontextmanager
async def connected(gateway: EmbeddedGateway) -> AsyncIterator[Client]:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"evil\r\n\r\n", (400, "bad-request")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03evil", (400, "bad-request")),
        (b"GET /evil HTTP/9.9\r\nHost: x\r\n\r\n", (400, "bad-request")),
        (b"GET evil HTTP/1.1\r\nHost: x\r\n\r\n", (400, "bad-request")),
        (b"GET / HTTP/1.1\r\n\r\n", (400, "bad-request")),
        (GET + b"evil\r\n\r\n", (400, "bad-request")),
        (GET + b"X-Evil: evil\0\r\n\r\n", (400, "bad-request")),
        (GET + b"Content-Length: evil\r\n\r\n", (400, "bad-request")),
        (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", (400, "bad-request")),
        (GET + b"X: " + b"evil" * 3000 + b"\r\n\r\n", (431, "headers-too-large")),
        (GET + b"X" * 9000 + b": evil\r\n\r\n", (431, "headers-too-large")),
        (GET + b"X: " + b"evil" * 300_000 + b"\r\n\r\n", (431, "headers-too-large")),
        (GET + b"X-Evil: evil\r\n" * 200 + b"\r\n", (431, "headers-too-large")),
        (b"GET /" + b"evil" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, "uri-too-long")),
        (GET + b"Expect: evil\r\n\r\n", (417, "expectation-failed")),
        (b"GET /x HTTP/1.1\r\nHost: x\r\nExpect: evil\r\n\r\n", (417, "expectation-failed")),
        (POST[:-2] + b"Expect: evil\r\n\r\n" + ORDER, (417, "expectation-failed")),
        (
            b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nevil\r\n",
            (400, "bad-request"),
        ),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[1],
)
async def test_what_is_not_http_is_one_problem_and_no_traceback(
    gateway: EmbeddedGateway,
    request_bytes: bytes,
    expected: tuple[int, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with capture_logs() as lines:
        async with connected(gateway) as client:
            client.send(request_bytes)
            assert await client.problem() == expected
    assert [line for line in lines if "evil" in str(line) or "exc_info" in line] == []
    assert caplog.records == []
    assert await gateway.backlog() == 0
    counted = gateway.context.metrics.requests.counts()
    assert sum(count for (_, _, status), count in counted.items() if status == expected[0]) == 1


async def test_a_broken_body_that_nobody_reads_is_no_traceback(
    gateway: EmbeddedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as lines:
        async with connected(gateway) as client:
            client.send(GET + b"Transfer-Encoding: chunked\r\n\r\nevil\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 ")
    assert [line for line in lines if "exc_info" in line] == []
    assert caplog.records == []


async def test_a_hundred_bad_requests_are_one_log_line_and_then_their_number(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send() -> None:
        async with connected(gateway) as client:
            client.send(b"evil\r\n\r\n")
            await client.problem()

    with capture_logs() as lines:
        for _ in range(100):
            await send()
        first, *others = lines
        assert (first["event"], first["count"]) == ("requests could not be read", 1)
        assert first["log_level"] == "warning"
        assert others == []
        monkeypatch.setattr(unreadable_requests, "LOG_SECONDS", 0.1)
        async with asyncio.timeout(60):
            while len(lines) < 2:
                await asyncio.sleep(0.05)
    assert lines[1]["count"] == 99
    assert lines[1]["last_client"] == "127.0.0.1"


async def test_a_client_that_expects_to_be_told_to_continue_is_told(
    gateway: EmbeddedGateway,
) -> None:
    async with connected(gateway) as client:
        client.send(POST[:-2] + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(0.1)
        client.send(ORDER)
        assert (await client.rest()).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 ")


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["first", "later"])
async def test_headers_that_do_not_end_are_408(sqlite_url: str, before: bytes) -> None:
    async with (
        open_gateway(sqlite_url, header_seconds=0.5) as gateway,
        connected(gateway) as client,
    ):
        client.send(before)
        await asyncio.sleep(0.7 if before else 0.0)  # idle does not count
        began = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer = asyncio.create_task(client.rest())
        while not answer.done() and time.monotonic() < began + 5:
            client.send(b"X: x\r\n")
            await asyncio.sleep(0.1)
        assert 0.5 <= time.monotonic() - began < 2
        assert (await answer).rpartition(b"HTTP/1.1 ")[2].startswith(b"408 ")


async def test_a_body_that_trickles_ends_its_connection(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "BODY_SECONDS", 0.5)
    async with connected(gateway) as client:
        began = time.monotonic()
        client.send(POST.replace(b"Content-Length: %d" % len(ORDER), b"Content-Length: 10000"))
        answer = asyncio.create_task(client.rest())
        while not answer.done() and time.monotonic() < began + 8:
            client.send(b" ")
            await asyncio.sleep(0.1)
        # Half a second for the body, and one for the client to read the answer.
        assert time.monotonic() - began < 5
        assert (await answer).startswith(b"HTTP/1.1 408 ")


async def test_a_line_end_after_a_request_is_no_slow_request(sqlite_url: str) -> None:
    async with (
        open_gateway(sqlite_url, header_seconds=0.2) as gateway,
        connected(gateway) as client,
    ):
        client.send(GET + b"\r\n\r\n")
        await asyncio.sleep(0.7)
        client.send(GET + b"Connection: close\r\n\r\n")
        assert (await client.rest()).count(b"HTTP/1.1 200 ") == 2


async def test_an_idle_connection_is_closed_after_the_keep_alive_time(sqlite_url: str) -> None:
    async with (
        open_gateway(sqlite_url, keep_alive_seconds=0.4) as gateway,
        connected(gateway) as used,
        connected(gateway) as unused,
    ):
        used.send(GET + b"\r\n")
        began = time.monotonic()
        assert (await used.rest()).startswith(b"HTTP/1.1 200 ")
        assert await unused.rest() == b""
        assert 0.3 < time.monotonic() - began < 2


@asynccontextmanager
async def stopping(
    sqlite_url: str, prepare: Callable[[Client], None], count: int = 1
) -> AsyncIterator[tuple[list[Client], asyncio.Task[float]]]:
    """A gateway that was told to stop after these clients did something; how long it takes."""
    async with AsyncExitStack() as exits:
        opened = await exits.enter_async_context(AsyncExitStack())
        gateway = await opened.enter_async_context(open_gateway(sqlite_url))
        clients = [await exits.enter_async_context(connected(gateway)) for _ in range(count)]
        for client in clients:
            prepare(client)
        await asyncio.sleep(0.1)

        async def stop() -> float:
            began = time.monotonic()
            gateway.context.lifecycle.stop()
            await opened.aclose()
            return time.monotonic() - began

        task = asyncio.create_task(stop())
        await asyncio.sleep(0.1)
        yield clients, task
        await task


@pytest.mark.parametrize("sent", [0, 20, len(POST), len(POST) + 10])
async def test_a_request_that_is_on_its_way_when_the_gateway_stops_is_answered(
    sqlite_url: str, sent: int
) -> None:
    whole = POST + ORDER
    async with stopping(sqlite_url, lambda client: client.send(whole[:sent])) as ([client], stop):
        assert not stop.done()
        client.send(whole[sent:])
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 202 ")
        assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (GET + b"\r\n", b"HTTP/1.1 200 "),
        (POST + ORDER, b"HTTP/1.1 202 "),
        (POST + ORDER[:5], b""),
        (GET, b""),
    ],
)
async def test_a_client_that_sends_nothing_more_gets_the_answer_to_a_whole_request(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch, sent: bytes, answer: bytes
) -> None:
    ended = asyncio.Event()
    eof_received, accept = Connection.eof_received, OrderIntake.accept

    def note_end(connection: Connection) -> bool:
        stays = eof_received(connection)
        ended.set()
        return stays

    async def accept_after_the_end(intake: OrderIntake, *order: Any) -> KnownOrder:
        await ended.wait()
        return await accept(intake, *order)

    # Else an order may be answered before the gateway hears that nothing more comes.
    monkeypatch.setattr(Connection, "eof_received", note_end)
    monkeypatch.setattr(OrderIntake, "accept", accept_after_the_end)
    async with connected(gateway) as client:
        client.send(sent)
        client.send_end()
        came = await client.rest()
    assert came[: len(answer)] == answer
    assert bool(came) == bool(answer)
    assert (b"\r\nConnection: close\r\n" in came) == bool(answer)


@pytest.mark.parametrize(
    "request_bytes", [POST + ORDER, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_a_client_that_does_not_read_its_answers_is_not_read_either(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch, request_bytes: bytes
) -> None:
    made: list[Connection] = []
    connection_made = Connection.connection_made

    def note(connection: Connection, transport: asyncio.BaseTransport) -> None:
        made.append(connection)
        fileno = transport.get_extra_info("socket").fileno()
        with socket.fromfd(fileno, socket.AF_INET, socket.SOCK_STREAM) as server_end:
            server_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection_made(connection, transport)

    monkeypatch.setattr(Connection, "connection_made", note)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = gateway.url.removeprefix("http://").split(":")
        client.connect((host, int(port)))
        client.setblocking(False)
        most = 0
        for _ in range(3000):
            with suppress(BlockingIOError):
                client.send(100 * request_bytes)
            await asyncio.sleep(0)
            if made and (transport := made[0].transport) is not None:
                most = max(most, transport.get_write_buffer_size())
    assert 0 < most < 1_000_000
    while made[0].transport is not None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("end", [b"\r\n", b""], ids=["whole", "unfinished"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_many_headers_that_are_large_together_are_431(
    gateway: EmbeddedGateway, end: bytes, at_once: bool
) -> None:
    headers = [b"A%d: %s\r\n" % (number, b"a" * 8000) for number in range(9)]
    async with connected(gateway) as client:
        for part in [b"".join((GET, *headers, end))] if at_once else (GET, *headers, end):
            client.send(part)
            await asyncio.sleep(0.01)
        assert await client.problem() == (431, "headers-too-large")


async def test_many_headers_that_are_not_too_large_are_read(gateway: EmbeddedGateway) -> None:
    headers = [b"A%d: %s\r\n" % (number, b"a" * 8000) for number in range(7)]
    async with connected(gateway) as client:
        for part in (GET, *headers, b"\r\n", GET, *headers, b"Connection: close\r\n\r\n"):
            client.send(part)
            await asyncio.sleep(0.01)
        assert (await client.rest()).count(b"HTTP/1.1 200 ") == 2


async def test_a_stream_ends_when_its_reader_sends_nothing_more(gateway: EmbeddedGateway) -> None:
    async with connected(gateway) as client:
        client.send(b"GET /sales/tv/events HTTP/1.1\r\nHost: x\r\n\r\n")
        client.send_end()
        await client.rest()
    assert not gateway.context.streams.topics()


async def test_idle_connections_do_not_hold_a_gateway_that_stops(sqlite_url: str) -> None:
    async with stopping(sqlite_url, lambda client: client.send(GET + b"\r\n"), 20) as (_, stop):
        assert await stop < 1
