"""`GET /sales/{sku}/events`: a sale's streams are woken by its changes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flashsale.domain.sales import Sale
from gateway.routes import streams
from gateway.state import sales, stream_changes
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway

HOURS = 10_000.0


@asynccontextmanager
async def sale_events(gateway: EmbeddedGateway, sku: str) -> AsyncIterator[AsyncIterator[Any]]:
    """Open the stream of a sale; it yields the sale as it is told."""

    async def events() -> AsyncIterator[Any]:
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))

    async with asyncio.timeout(60):
        async with gateway.client.get(f"{gateway.url}/sales/{sku}/events") as answer:
            yield events()


async def test_a_sold_out_sale_is_told_at_once_and_its_batches_are_not_told_one_by_one(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but a change wakes a stream here, and further changes wait for hours.
    monkeypatch.setattr(stream_changes, "SALE_SECONDS", HOURS)
    async with open_gateway(sqlite_url, drain_rate=100, drain_batch=1) as gateway:
        await gateway.stack.ledger.create_sale(Sale("many", 30))
        async with sale_events(gateway, "many") as events:
            told = [await anext(events)]
            monkeypatch.setattr(sales, "REFRESH_SECONDS", HOURS)
            for number in range(30):
                await gateway.order(sku="many", customer_id=f"c-{number}")
            gateway.drain()
            while told[-1]["state"] != "sold_out":
                told.append(await anext(events))
        assert (told[0]["state"], told[0]["sold"]) == ("open", 0)
        assert told[-1]["sold"] == 30
        assert len(told) <= 4


async def test_the_streams_of_a_sale_are_told_when_it_opens(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.context.changes.sales, "_pause", HOURS)
    await gateway.stack.ledger.create_sale(Sale("soon", 5, opens_at=time.time() + 1))
    async with sale_events(gateway, "soon") as events:
        monkeypatch.setattr(sales, "REFRESH_SECONDS", HOURS)
        while (await anext(events))["state"] != "open":
            pass


async def test_a_change_of_the_backlog_is_told_to_the_streams_of_a_sale(
    gateway: EmbeddedGateway,
) -> None:
    async with sale_events(gateway, "tv") as events:
        assert (await anext(events))["backlog"] == 0
        await gateway.order(sku="one-each")
        while (await anext(events))["backlog"] != 1:
            pass


async def test_a_sale_stream_tells_the_limit_and_the_measured_speed_of_the_drain(
    sqlite_url: str,
) -> None:
    async with (
        open_gateway(sqlite_url, drain_rate=40, drain_batch=1) as gateway,
        sale_events(gateway, "tv") as events,
    ):
        event = await anext(events)
        assert (event["drain_rate"], event["drained_per_second"]) == (40, None)
        gateway.drain()
        while (event := await anext(events))["drained_per_second"] is None:
            pass
        assert event["drain_rate"] == 40


async def test_a_quiet_stream_is_kept_alive_by_comments(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_KEEP_ALIVE_SECONDS", 0.05)
    task = asyncio.create_task(streams.keep_alive(gateway.context))
    async with asyncio.timeout(60), gateway.client.get(f"{gateway.url}/sales/tv/events") as answer:
        assert await answer.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        assert (await answer.content.readuntil(b"\n\n")).startswith(b"event: sale\ndata: {")
        while not (await answer.content.readuntil(b"\n\n")).startswith(b": "):
            pass
    task.cancel()
