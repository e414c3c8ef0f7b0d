"""`GET /healthz` and `GET /readyz`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flashsale.broker import Deliveries, EmbeddedBroker
from gateway.app import retire
from tests.integration.gateway.embedded_gateway import (
    EmbeddedGateway,
    open_gateway,
    until,
)


async def test_a_gateway_is_alive_and_ready(gateway: EmbeddedGateway) -> None:
    assert (await gateway.call("GET", "/healthz")).body == {"status": "alive"}
    assert (await gateway.call("GET", "/readyz")).body == {"status": "ready"}


async def test_a_gateway_without_a_broker_is_alive_but_not_ready(gateway: EmbeddedGateway) -> None:
    await gateway.stack.broker.__aexit__(None, None, None)
    answer = await gateway.call("GET", "/readyz")
    assert (answer.status, answer.problem) == (503, "not-ready")
    assert list(answer.body["checks"]) == ["broker"]
    assert (await gateway.call("GET", "/healthz")).status == 200


async def test_a_gateway_is_not_ready_until_it_hears_other_gateways(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_hear = asyncio.Event()
    subscribe = EmbeddedBroker.subscribe

    @asynccontextmanager
    async def later(broker: EmbeddedBroker, exchange: str) -> AsyncIterator[Deliveries]:
        await may_hear.wait()
        async with subscribe(broker, exchange) as announcements:
            yield announcements

    monkeypatch.setattr(EmbeddedBroker, "subscribe", later)
    async with open_gateway(sqlite_url) as gateway:
        answer = await gateway.call("GET", "/readyz")
        assert (answer.status, list(answer.body["checks"])) == (503, ["announcements"])
        may_hear.set()
        await until(lambda: gateway.call("GET", "/readyz"), lambda a: a.status == 200)


async def test_a_stopping_gateway_is_not_ready_and_still_serves(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url) as gateway:
        stopping = asyncio.create_task(retire(gateway.app))
        await asyncio.sleep(0)
        answer = await gateway.call("GET", "/readyz")
        assert (answer.status, answer.body["checks"]) == (503, {"process": "shutting down"})
        assert (await gateway.order()).status == 202
        await stopping
