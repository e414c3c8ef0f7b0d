"""The direct route: the same answers as by the router."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler
from yarl import URL

from gateway.server.direct_route import DirectRoute

seen = web.AppKey("seen", list[str])


@web.middleware
async def outer(request: web.Request, handler: Handler) -> web.StreamResponse:
    request.app[seen].append("outer")
    try:
        return await handler(request)
    except KeyError as error:
        return web.Response(status=409, text=str(error))


@web.middleware
async def inner(request: web.Request, handler: Handler) -> web.StreamResponse:
    request.app[seen].append("inner")
    return await handler(request)


async def post_order(request: web.Request) -> web.Response:
    if request.query.get("fail"):
        raise KeyError("failed")
    return web.Response(text=f"{dict(request.match_info)} {await request.text()}")


async def get_order(request: web.Request) -> web.Response:
    return web.Response(text=request.match_info["order_id"])


@pytest.fixture
def app() -> web.Application:
    app = web.Application(middlewares=[outer, inner])
    app[seen] = []
    app.router.add_post("/orders", post_order)
    app.router.add_get("/orders/{order_id}", get_order)
    return app


@pytest.fixture
async def server(app: web.Application) -> AsyncIterator[TestServer]:
    server = TestServer(app)
    async with server:
        yield server


@pytest.fixture
async def client(server: TestServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.make_url("/")) as client:
        yield client


@pytest.fixture
def routed(app: web.Application, server: TestServer) -> list[str]:
    """Turn on the direct route, and return the paths that the router sees all the same."""
    paths: list[str] = []
    assert server.handler is not None
    by_router = server.handler.request_handler

    def route(request: web.BaseRequest) -> object:
        paths.append(request.path)
        return by_router(request)

    server.handler.request_handler = DirectRoute(app, "POST", "/orders").before(route)  # type: ignore[arg-type]
    return paths


async def test_the_direct_route_runs_the_middlewares_and_the_handler_once(
    app: web.Application, client: aiohttp.ClientSession, routed: list[str]
) -> None:
    answers = [await client.post("/orders?a=b", data=f"{number}") for number in range(2)]
    assert [await answer.text() for answer in answers] == ["{} 0", "{} 1"]
    assert app[seen] == ["outer", "inner"] * 2
    assert routed == []


async def test_an_error_meets_the_same_middlewares(
    client: aiohttp.ClientSession, routed: list[str]
) -> None:
    async with client.post("/orders?fail=1") as answer:
        assert (answer.status, await answer.text()) == (409, "'failed'")
    assert routed == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/orders/4711", 200),
        ("GET", "/orders", 405),
        ("POST", "/orders/", 404),
        ("POST", "/%6frders", 200),
        ("POST", "/", 404),
    ],
)
async def test_every_other_request_goes_to_the_router(
    server: TestServer,
    client: aiohttp.ClientSession,
    routed: list[str],
    method: str,
    path: str,
    status: int,
) -> None:
    url = URL(f"http://127.0.0.1:{server.port}{path}", encoded=True)
    async with client.request(method, url) as answer:
        assert answer.status == status
    assert len(routed) == 1


async def test_a_request_that_waits_for_100_continue_gets_it(
    server: TestServer, routed: list[str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /orders HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"1")
    assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert routed == ["/orders"]


async def test_an_unknown_route_is_an_error(app: web.Application) -> None:
    with pytest.raises(LookupError, match="POST /carts"):
        DirectRoute(app, "POST", "/carts")
