"""A gateway in this process, on the embedded stack, and its client."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from consumer.app import run_drain
from flashsale.broker import Topology
from flashsale.domain.sales import Sale
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, open_stack
from gateway.app import create_app, serving
from gateway.context import CONTEXT, Context

SECRET = b"a secret of the tests"


@dataclass
class Answer:
    """A response, its body decoded."""

    status: int
    headers: Any
    body: Any

    @property
    def problem(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["status"] == self.status
        assert self.body["title"]
        assert self.body["detail"]
        return str(self.body["type"]).removeprefix("/problems/")


NO_SERVICES = Topology((), (), ())


@dataclass
class EmbeddedGateway:
    """A gateway with its own stack, and a client."""

    url: str
    stack: Stack
    app: web.Application
    settings: Settings
    client: aiohttp.ClientSession
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def context(self) -> Context:
        return self.app[CONTEXT]

    async def call(self, method: str, path: str, **arguments: Any) -> Answer:
        async with self.client.request(method, self.url + path, **arguments) as answer:
            text = await answer.text()
            return Answer(answer.status, answer.headers, json.loads(text) if text else None)

    async def order(self, key: str | None = None, **changes: Any) -> Answer:
        body = {"sku": "tv", "customer_id": "c-1", "quantity": 1} | changes
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.call("POST", "/orders", json=body, headers=headers)

    async def post(self, body: bytes, **headers: str) -> Answer:
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.call("POST", "/orders", data=body, headers=sent)

    async def backlog(self) -> int:
        return (await self.stack.broker.depth(self.stack.topology.orders)).ready

    def drain(self) -> None:
        """Start a drain on the same stack."""
        self.tasks.append(
            asyncio.create_task(
                run_drain(
                    self.settings, self.stack, NO_SERVICES, ConsumerMetrics(), asyncio.Event()
                )
            )
        )


async def until(
    ask: Callable[[], Awaitable[Answer]], condition: Callable[[Answer], bool]
) -> Answer:
    async with asyncio.timeout(60):
        while not condition(answer := await ask()):
            await asyncio.sleep(0.02)
        return answer


@asynccontextmanager
async def open_gateway(database_url: str, **changes: Any) -> AsyncIterator[EmbeddedGateway]:
    settings = Settings(database_url=database_url, gateway_port=0, shutdown_seconds=0, **changes)
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(open_stack(settings))
        now = time.time()
        for sale in (
            Sale("tv", 5),
            Sale("gone", 0),
            Sale("early", 5, opens_at=now + 3600),
            Sale("late", 5, closes_at=now - 1),
            Sale("one-each", 5, customer_limit=1),
        ):
            await stack.ledger.create_sale(sale)
        app = create_app(settings, stack, SECRET, GatewayMetrics())
        url = await exits.enter_async_context(serving(app))
        client = await exits.enter_async_context(aiohttp.ClientSession())
        gateway = EmbeddedGateway(url, stack, app, settings, client)
        try:
            yield gateway
        finally:
            gateway.context.lifecycle.stop()  # or the server would wait for open streams
            for task in gateway.tasks:
                task.cancel()
            await asyncio.gather(*gateway.tasks, return_exceptions=True)


async def raw(gateway: EmbeddedGateway, request: bytes) -> bytes:
    """Send bytes, and return the beginning of the answer: b"" if the connection was closed."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        async with asyncio.timeout(60):
            return await reader.read(1000)
    finally:
        writer.close()
        await writer.wait_closed()
