"""Receivers on loopback that do what a receiver should not, byte by byte."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.receiver import HttpReceiver, open_receiver

KEY = bytes(range(32))


@dataclass
class Exchange:
    """A request that a receiver has read, and the connection it answers on."""

    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    others: "Seen"

    async def write(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()
        self.others.bytes_sent += sum(map(len, parts))

    async def until_closed(self) -> None:
        """Wait until the client has closed the connection."""
        await self.reader.read()

    @property
    def path(self) -> str:
        return self.head.split(b" ")[1].decode()

    def header(self, name: str) -> str | None:
        for line in self.head.decode().split("\r\n"):
            if line.lower().startswith(f"{name.lower()}: "):
                return line.partition(": ")[2]
        return None


@dataclass
class Seen:
    """What a receiver has seen so far."""

    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    bytes_sent: int = 0


Behaviour = Callable[[Exchange], Awaitable[object]]


@dataclass
class Server:
    """A receiver that listens."""

    port: int
    seen: Seen

    def address(
        self,
        *,
        scheme: str = "http",
        host: str = "127.0.0.1",
        timeout: float = 5.0,
        concurrency: int = 64,
        batch: int | None = None,
    ) -> ReceiverAddress:
        url = f"{scheme}://{host}:{self.port}/orders?shop=1"
        return ReceiverAddress(url, KEY, concurrency, timeout, batch)


@asynccontextmanager
async def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Yield a server that reads each request and then behaves so, until its connection ends."""
    seen, connections = Seen(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        seen.connections += 1
        seen.open += 1
        seen.most_open = max(seen.most_open, seen.open)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                    body = await reader.readexactly(int(length))
                    seen.requests.append(Exchange(head, body, reader, writer, seen))
                    await behave(seen.requests[-1])
        finally:
            seen.open -= 1
            connections.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
    try:
        yield Server(server.sockets[0].getsockname()[1], seen)
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        if connections:
            await asyncio.wait(list(connections))


@asynccontextmanager
async def receiving(
    behave: Behaviour, *, timeout: float = 5.0, batch: int | None = None
) -> AsyncIterator[tuple[HttpReceiver, Seen]]:
    """Yield what sends to a server that behaves so, and what the server has seen."""
    async with (
        serving(behave) as server,
        open_receiver(server.address(timeout=timeout, batch=batch)) as receiver,
    ):
        yield receiver, server.seen


def an_answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answers(
    status: int, body: bytes = b"", *headers: str, kind: str = "application/json"
) -> Behaviour:
    """Answer everything so."""
    told = an_answer(status, body, f"Content-Type: {kind}", *headers)
    return lambda exchange: exchange.write(told)


def then_hangs(*parts: bytes) -> Behaviour:
    """Write that, and then nothing more."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(*parts)
        await exchange.until_closed()

    return behave


def then_closes(*parts: bytes) -> Behaviour:
    """Write that, and end the connection."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(*parts)
        exchange.writer.close()

    return behave


async def resets(exchange: Exchange) -> None:
    """End the connection by a reset."""
    exchange.writer.transport.abort()


def for_ever(part: bytes, *, first: bytes = b"", pause: float = 0.0) -> Behaviour:
    """Write the same again and again until the client has had enough."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(first)
        while not exchange.reader.at_eof():
            await exchange.write(part)
            await asyncio.sleep(pause)

    return behave


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
A_CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"
GZIP_BOMB = gzip.compress(bytes(2**25), compresslevel=9)
"""32 MiB in as many KiB."""


async def redirects_to_itself(exchange: Exchange) -> None:
    await exchange.write(an_answer(307, b"", f"Location: {exchange.path}"))


async def sends_100_megabytes(exchange: Exchange) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    await exchange.write(head.encode())
    for _ in range(1_000):
        await exchange.write(b" " * 100_000)
