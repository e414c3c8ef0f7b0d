"""Direct answers: the same as aiohttp's own, in the same order, and as the connection ends."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from aiohttp import web

from gateway.server.direct_answers import DirectAnswers
from gateway.server.direct_route import DirectRoute

ORDER = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
SALES = b"GET /sales HTTP/1.1\r\nHost: x\r\n\r\n"
KEEP_ALIVE_SECONDS = 0.2

noted: ContextVar[str] = ContextVar("noted", default="nothing")


class Gateway:
    """A server with one hot address; its handler waits for `allowed`."""

    def __init__(self) -> None:
        self.allowed = asyncio.Event()
        self.allowed.set()
        self.began = asyncio.Event()
        self.answered = asyncio.Event()
        self.by_aiohttp: list[str] = []
        self.read = 0
        self.orders: list[weakref.ref[web.Request]] = []
        self.seen: list[str] = []
        self.protocols: list[DirectAnswers] = []
        app = web.Application()
        app.router.add_post("/orders", self._take_order)
        app.router.add_get("/sales", self._tell_sales)
        self._runner = web.AppRunner(app, handle_signals=False)
        self._app = app
        self.port = 0

    async def _take_order(self, request: web.Request) -> web.Response:
        self.orders.append(weakref.ref(request))
        self.seen.append(noted.get())
        self.began.set()
        body = await request.text()
        noted.set(body)
        await self.allowed.wait()
        self.answered.set()
        if body == "ee":
            raise ValueError("a defect")
        return web.Response(text=f"order {body}")

    async def _tell_sales(self, request: web.Request) -> web.Response:
        return web.Response(text="sales")

    async def start(self) -> None:
        await self._runner.setup()
        server = self._runner.server
        assert isinstance(server, web.Server)
        routed: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = server.request_handler

        def by_aiohttp(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            self.by_aiohttp.append(request.path)
            return routed(request)

        server.request_handler = by_aiohttp
        direct = DirectRoute(self._app, "POST", "/orders", "/shop")

        def connection() -> DirectAnswers:
            made = Connection(self, server, direct, keepalive_timeout=KEEP_ALIVE_SECONDS)
            self.protocols.append(made)
            return made

        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(connection, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._listener.close()
        await self._runner.cleanup()


class Connection(DirectAnswers):
    """Answers as soon as something has come, and counts what has."""

    __slots__ = ("_gateway",)

    def __init__(self, gateway: Gateway, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gateway = gateway

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._gateway.read += len(data)
        self.answer_next()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    await gateway.start()
    yield gateway
    await gateway.stop()


class Client:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, str]:
        """Return the status and the body of the next answer."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        )
        return int(head.split()[1]), (await self._reader.readexactly(length)).decode()

    async def ended(self) -> bytes:
        """Return what comes until the gateway closes the connection."""
        return await self._reader.read()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", gateway.port))
    yield client
    client.writer.close()


async def hold_an_order(gateway: Gateway, client: Client) -> None:
    """Send an order, whose handler then waits for `allowed`."""
    gateway.allowed.clear()
    client.writer.write(ORDER + b"01")
    await gateway.began.wait()


@pytest.mark.parametrize("address", [b"/orders", b"/shop/orders"])
async def test_a_whole_request_of_the_hot_address_is_answered_directly(
    gateway: Gateway, client: Client, address: bytes
) -> None:
    for number in range(3):
        client.writer.write(ORDER.replace(b"/orders", address) + b"%02d" % number)
        assert await client.answer() == (200, f"order {number:02}")
    assert gateway.by_aiohttp == []


@pytest.mark.parametrize(
    ("pieces", "answers"),
    [
        pytest.param([SALES], ["sales"], id="another address"),
        pytest.param([ORDER, b"01"], ["order 01"], id="a body that comes later"),
        pytest.param([ORDER[:30], ORDER[30:], b"0", b"1"], ["order 01"], id="small pieces"),
        pytest.param(
            [ORDER + b"01" + ORDER + b"02"], ["order 01", "order 02"], id="several at once"
        ),
        pytest.param([ORDER.replace(b"/orders", b"/orders?a=b") + b"01"], ["order 01"], id="query"),
        pytest.param(
            [ORDER.replace(b"Host", b"Expect: 100-continue\r\nHost"), b"01"],
            ["order 01"],
            id="100-continue",
        ),
    ],
)
async def test_every_other_request_is_answered_by_aiohttp(
    gateway: Gateway, client: Client, pieces: list[bytes], answers: list[str]
) -> None:
    for piece in pieces:
        read = gateway.read + len(piece)
        client.writer.write(piece)
        while gateway.read < read:  # so that the pieces come one by one
            await asyncio.sleep(0)
    if b"Expect" in pieces[0]:
        assert b"100 Continue" in await client._reader.readuntil(b"\r\n\r\n")
    assert [await client.answer() for _ in answers] == [(200, answer) for answer in answers]
    assert len(gateway.by_aiohttp) == len(answers)


async def test_answers_keep_the_order_of_the_requests(gateway: Gateway, client: Client) -> None:
    await hold_an_order(gateway, client)
    client.writer.write(SALES)
    client.writer.write(ORDER + b"02")
    while len(gateway.protocols[0]._messages) < 2:
        await asyncio.sleep(0)
    gateway.allowed.set()
    assert [await client.answer() for _ in range(3)] == [
        (200, "order 01"),
        (200, "sales"),
        (200, "order 02"),
    ]


async def test_an_order_does_not_see_what_the_one_before_has_noted(
    gateway: Gateway, client: Client
) -> None:
    await hold_an_order(gateway, client)
    client.writer.write(ORDER + b"02")
    while not gateway.protocols[0]._messages:
        await asyncio.sleep(0)
    gateway.allowed.set()
    assert [await client.answer() for _ in range(2)] == [(200, "order 01"), (200, "order 02")]
    assert gateway.seen == ["nothing", "nothing"]


async def test_a_connection_is_not_idle_while_an_order_waits(
    gateway: Gateway, client: Client
) -> None:
    await hold_an_order(gateway, client)
    timer = gateway.protocols[0]._keepalive_handle
    while gateway.protocols[0]._keepalive_handle is timer:  # until the time is over
        await asyncio.sleep(0.01)
    gateway.allowed.set()
    assert await client.answer() == (200, "order 01")
    # Nothing keeps the request of that time.
    client.writer.write(ORDER + b"02")
    assert await client.answer() == (200, "order 02")
    gc.collect()
    assert gateway.orders[0]() is None
    # Now it is idle, and closes.
    async with asyncio.timeout(20 * KEEP_ALIVE_SECONDS):
        assert await client.ended() == b""


async def test_the_connection_closes_after_an_answer_if_the_client_asks_for_that(
    gateway: Gateway, client: Client
) -> None:
    client.writer.write(ORDER.replace(b"Host", b"Connection: close\r\nHost") + b"01")
    assert await client.answer() == (200, "order 01")
    assert await client.ended() == b""
    assert gateway.by_aiohttp == []


async def test_an_error_of_the_handler_is_answered_and_ends_the_connection(
    gateway: Gateway, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.writer.write(ORDER + b"ee")
    assert (await client.answer())[0] == 500
    assert await client.ended() == b""
    assert "a defect" in caplog.text


async def test_an_order_whose_client_is_gone_is_still_taken(
    gateway: Gateway, client: Client
) -> None:
    await hold_an_order(gateway, client)
    client.writer.transport.abort()
    while gateway.protocols[0].transport is not None:
        await asyncio.sleep(0)
    gateway.allowed.set()
    await gateway.answered.wait()


@pytest.mark.parametrize("first_turn", [True, False])
async def test_a_shutdown_waits_for_the_answer(
    gateway: Gateway, client: Client, first_turn: bool
) -> None:
    gateway.allowed.clear()
    client.writer.write(ORDER + b"01")
    while not (gateway.protocols and gateway.protocols[0]._answering):
        await asyncio.sleep(0)
    if not first_turn:
        await gateway.began.wait()
    gateway.protocols[0].close()  # as aiohttp's server does first
    shutdown = asyncio.ensure_future(gateway.protocols[0].shutdown(10))
    await asyncio.sleep(0)
    gateway.allowed.set()
    assert await client.answer() == (200, "order 01")
    await shutdown


async def test_a_shutdown_cancels_an_answer_that_takes_too_long(
    gateway: Gateway, client: Client
) -> None:
    await hold_an_order(gateway, client)
    answer = gateway.protocols[0]._answer
    assert answer is not None
    gateway.protocols[0].close()
    await gateway.protocols[0].shutdown(0.01)
    await asyncio.wait((answer,))
    assert answer.cancelled()
    assert await client.ended() == b""
