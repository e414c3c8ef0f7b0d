"""What stands between a client and a gateway: it passes requests on, or does something else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from flashsale.domain.order_ids import keyed_order_id
from tests.integration.gateway.embedded_gateway import SECRET

HTML = "<p>an error page"


@dataclass
class Middleman:
    """Does to each request what the next of its `tricks` says, and passes on the others."""

    gateway: str
    client: aiohttp.ClientSession
    url: str = ""
    tricks: list[str] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    """The order id in each 202 of the gateway, whether a client was told it or not."""

    @property
    def keys(self) -> list[str | None]:
        return [
            request.headers.get("Idempotency-Key")
            for request in self.requests
            if request.method == "POST"
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        trick = self.tricks.pop(0) if self.tricks else "pass on"
        return await TRICKS[trick](self, request)

    async def pass_on(self, request: web.Request) -> web.Response:
        headers = {
            name: value for name, value in request.headers.items() if name not in ("Host", "Accept")
        }
        async with self.client.request(
            request.method, self.gateway + request.path, headers=headers, data=await request.read()
        ) as answer:
            told = await answer.read()
            if answer.status == 202:
                self.taken.append(json.loads(told)["order_id"])
            kept = ("Content-Type", "Retry-After", "Location", "Preference-Applied")
            passed = {name: answer.headers[name] for name in kept if name in answer.headers}
            return web.Response(status=answer.status, body=told, headers=passed)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _lose(_: Middleman, request: web.Request) -> web.Response:
    return _hang_up(request)


async def _lose_the_answer(self: Middleman, request: web.Request) -> web.Response:
    await self.pass_on(request)
    return _hang_up(request)


async def _answer_never(self: Middleman, request: web.Request) -> web.Response:
    await self.pass_on(request)
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.01)
    return web.Response()


async def _break_off(self: Middleman, request: web.Request) -> web.Response:
    answer = await self.pass_on(request)
    assert isinstance(answer.body, bytes)
    broken = web.StreamResponse(status=answer.status, headers=answer.headers)
    broken.content_length = len(answer.body)
    await broken.prepare(request)
    await broken.write(answer.body[: len(answer.body) // 2])
    return _hang_up(request)


async def _send_twice(self: Middleman, request: web.Request) -> web.Response:
    first, _ = await asyncio.gather(self.pass_on(request), self.pass_on(request))
    return first


async def _bad_gateway(_: Middleman, __: web.Request) -> web.Response:
    return web.Response(status=502, text=HTML, content_type="text/html")


async def _gateway_timeout(self: Middleman, request: web.Request) -> web.Response:
    await self.pass_on(request)
    return web.Response(status=504, text=HTML, content_type="text/html")


async def _login_page(_: Middleman, __: web.Request) -> web.Response:
    return web.Response(text=HTML, content_type="text/html")


async def _not_found(_: Middleman, __: web.Request) -> web.Response:
    return web.Response(status=404, text=HTML, content_type="text/html")


async def _queue_full(_: Middleman, __: web.Request) -> web.Response:
    return problem(503, "queue-full", "0")


async def _too_often(_: Middleman, __: web.Request) -> web.Response:
    return problem(429, "client-rate", "1")


async def _sold_out(_: Middleman, request: web.Request) -> web.Response:
    """The answer of a gateway that has not heard of an earlier attempt."""
    if request.method != "POST":
        return problem(503, "ledger-unavailable", "0")
    order = json.loads(await request.read())
    order_id = keyed_order_id(SECRET, order["customer_id"], request.headers["Idempotency-Key"])
    return problem(409, "sold-out", order_id=order_id)


async def _sold_out_perhaps(_: Middleman, request: web.Request) -> web.Response:
    return problem(409, "sold-out", earlier_attempt="unknown")


def problem(status: int, kind: str, retry_after: str | None = None, **members: Any) -> web.Response:
    """Return a problem as the gateway writes it."""
    body = {"type": f"/problems/{kind}", "title": kind, "status": status, "detail": ".", **members}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/problem+json", **headers},
    )


TRICKS: dict[str, Callable[[Middleman, web.Request], Awaitable[web.StreamResponse]]] = {
    "pass on": Middleman.pass_on,
    "lose the request": _lose,
    "lose the answer": _lose_the_answer,
    "answer never": _answer_never,
    "break off the answer": _break_off,
    "send it twice": _send_twice,
    "502": _bad_gateway,
    "504 of a request that arrived": _gateway_timeout,
    "a login page": _login_page,
    "a 404 of a proxy": _not_found,
    "queue full": _queue_full,
    "too often": _too_often,
    "sold out": _sold_out,
    "sold out, and an earlier attempt is unknown": _sold_out_perhaps,
}


@asynccontextmanager
async def middleman(gateway: str) -> AsyncIterator[Middleman]:
    """Yield one that listens on a port of this machine."""
    # Each request has a connection of its own, so that the gateway's side is never at fault.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        opened = Middleman(gateway, client)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", opened.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        opened.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield opened
        finally:
            await runner.cleanup()
