"""Gateways and consumers in processes of their own, on real servers, and their clients."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger, open_ledger
from loadtest.processes import Process
from loadtest.servers import free_port
from tests.conftest import unique
from tests.processes import process


@dataclass
class Event:
    name: str
    data: dict[str, Any]
    id: str | None


@dataclass
class RealGateway:
    """A gateway process, as a client sees it."""

    client: aiohttp.ClientSession
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def order(
        self, key: str | None = None, customer: str | None = None, **changes: object
    ) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"sku": "tv", "customer_id": customer or unique("c")} | changes
        async with self.client.post(f"{self.url}/orders", json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        async with self.client.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def status(self, order_id: str) -> Any:
        status, body, _ = await self.get(f"/orders/{order_id}")
        assert status == 200, body
        return body

    async def heard_of(self, order_id: str) -> None:
        """Wait until the gateway knows an order that another one took."""
        async with asyncio.timeout(60):
            while (await self.get(f"/orders/{order_id}"))[0] == 404:
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def events(self, path: str, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
        async with self.client.get(self.url + path, headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/event-stream"
            yield parsed(answer.content)

    async def last_event(self, order_id: str) -> Event:
        """Follow an order's stream to its end."""
        position: int | None = None
        async with asyncio.timeout(60), self.events(f"/orders/{order_id}/events") as events:
            last = None
            number = 0
            async for last in events:
                if last.name == "queued":
                    number, position = last.data["number"], last.data["position"]
                    assert position == max(1, number - last.data["served"])
                elif last.name == "progress":
                    now = max(1, number - last.data["served"])
                    assert position is not None
                    assert now <= position
                    position = now
            assert last is not None
            return last


async def parsed(stream: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """Yield the events of a stream, parsed as a browser does."""
    fields: dict[str, str] = {}
    async for raw in stream:
        line = raw.decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if not line:
            if "data" in fields:
                yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}
        else:
            name, _, value = line.partition(": ")
            fields[name] = value


@dataclass
class RealShop:
    """A sale on real servers, and the processes that were started for it."""

    ledger: Ledger
    broker_url: str
    environment: dict[str, str]
    folder: Path
    client: aiohttp.ClientSession
    stack: ExitStack
    started: list[Process] = field(default_factory=list)

    async def execute(self, statement: str) -> None:
        """Run a statement on the database."""
        async with self.transaction(statement):
            pass

    @asynccontextmanager
    async def transaction(self, statement: str) -> AsyncIterator[None]:
        """Run a statement on the database, and commit it at the end."""
        engine = create_async_engine(self.environment["FLASHSALE_DATABASE_URL"])
        async with engine.begin() as connection:
            await connection.execute(text(statement))
            yield
        await engine.dispose()

    def gateway(self, **settings: str) -> RealGateway:
        gateway = RealGateway(self.client, free_port(), free_port())
        started = self.start(
            "gateway",
            gateway_port=str(gateway.port),
            metrics_port=str(gateway.metrics_port),
            **settings,
        )
        started.await_url(f"{gateway.url}/readyz")
        return gateway

    def start(self, name: str, **settings: str) -> Process:
        changed = {f"FLASHSALE_{key.upper()}": value for key, value in settings.items()}
        log = self.folder / f"{unique(name)}.log"
        started = self.stack.enter_context(
            process(["flashsale", name], log, self.environment | changed)
        )
        self.started.append(started)
        return started


@asynccontextmanager
async def open_real_shop(
    broker_url: str, database_url: str, folder: Path
) -> AsyncIterator[RealShop]:
    """Yield a shop that sells 1,000 tvs; its processes end with it."""
    environment = {
        "FLASHSALE_BROKER_URL": broker_url,
        "FLASHSALE_BROKER_PREFIX": f"{unique('s')}.",
        "FLASHSALE_DATABASE_URL": database_url,
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_PUBLISH_TIMEOUT_SECONDS": "10",
    }
    async with open_ledger(database_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", stock=1000))
        limit = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=limit) as client:
            with ExitStack() as stack:
                yield RealShop(ledger, broker_url, environment, folder, client, stack)


async def until_final(gateway: RealGateway, order_id: str) -> Any:
    """Poll until the order is decided; its position never grows."""
    position = None
    async with asyncio.timeout(60):
        while (seen := await gateway.status(order_id))["status"] == "queued":
            assert position is None or 1 <= seen["position"] <= position
            position = seen["position"]
            await asyncio.sleep(0.02)
    return seen
