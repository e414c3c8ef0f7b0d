"""A program of the shop that gets webhooks, and answers as a test wants it to."""

import asyncio
import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def envelope(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def event_id(self) -> str:
        return self.headers["ce-id"]


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def take(request: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


def status(code: int, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, headers=named)

    return answer


@dataclass
class Receiver:
    """What came to each path, and what each path answers: 204 unless a test says otherwise."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=lambda: defaultdict(lambda: take))
    open_requests: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_open: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def of(self, path: str = "/hook") -> list[Received]:
        return [one for one in self.received if one.path == path]

    def ids(self, path: str = "/hook") -> list[str]:
        return [one.event_id for one in self.of(path)]

    async def until(self, count: int, path: str = "/hook") -> list[Received]:
        """Wait until so many requests came to the path, and return them."""
        async with asyncio.timeout(60):
            while len(self.of(path)) < count:
                await asyncio.sleep(0.01)
        return self.of(path)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, body))
        self.open_requests[request.path] += 1
        self.most_open[request.path] = max(
            self.most_open[request.path], self.open_requests[request.path]
        )
        try:
            return await self.answers[request.path](request)
        finally:
            self.open_requests[request.path] -= 1


@asynccontextmanager
async def a_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Serve on a free port of every address."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0, ssl_context=tls)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
