"""The client follows an order to its decision, over faults and restarts."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from flashsale.client import Exchange, Intention, SaleClient, Undecided, UnknownOrder
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.background import Background
from gateway.app import create_app, serving
from gateway.context import CONTEXT
from tests.faults.proxy import proxy
from tests.integration.client.middleman import Middleman
from tests.integration.gateway.embedded_gateway import SECRET, EmbeddedGateway, open_gateway

TV = Intention("tv", customer_id="c-1")


async def test_a_rejected_order_is_a_result(gateway: EmbeddedGateway) -> None:
    gateway.drain()
    async with SaleClient(gateway.url) as client:
        order = await client.buy(Intention("tv", "c", quantity=6))
    assert (order.status, order.reason, order.remaining) == ("rejected", "not_enough_left", 5)


async def test_an_order_that_was_decided_while_the_client_was_away_is_found(
    gateway: EmbeddedGateway,
) -> None:
    async with SaleClient(gateway.url) as client:
        placed = await client.place(TV)
    gateway.drain()
    async with asyncio.timeout(60):
        while (await gateway.call("GET", f"/orders/{placed.order_id}")).body["status"] == "queued":
            await asyncio.sleep(0.02)
    async with SaleClient(gateway.url) as client:
        by_id = await client.follow(placed.order_id)
        by_intention = await client.buy(TV)
        looked = await client.look(placed.order_id)
    assert by_id.confirmed
    assert by_intention.order_id == looked.order_id == placed.order_id
    assert by_intention.confirmed


@pytest.mark.usefixtures("hasty")
async def test_an_order_is_followed_though_its_gateway_is_replaced(
    gateway: EmbeddedGateway,
) -> None:
    async with AsyncExitStack() as exits:
        first_exits = await exits.enter_async_context(AsyncExitStack())
        first = await _another(gateway, first_exits)
        port = int(first.url.rpartition(":")[2])
        link = await exits.enter_async_context(proxy(lambda: port))
        exchanges: list[Exchange] = []
        client = await exits.enter_async_context(
            SaleClient(f"http://127.0.0.1:{link.port}", observer=exchanges.append)
        )
        buying = asyncio.create_task(client.buy(TV))
        async with asyncio.timeout(60):
            while not exchanges:
                await asyncio.sleep(0.02)
        second = await _another(gateway, exits)
        first.context.lifecycle.stop()
        await first_exits.aclose()
        port = int(second.url.rpartition(":")[2])
        gateway.drain()
        async with asyncio.timeout(60):
            order = await buying
    assert order.confirmed
    tv = next(sale for sale in await gateway.stack.ledger.sales() if sale.sku == "tv")
    assert tv.sold == 1


async def _another(gateway: EmbeddedGateway, exits: AsyncExitStack) -> EmbeddedGateway:
    background = await exits.enter_async_context(Background())
    stack = replace(gateway.stack, background=background)
    app = create_app(gateway.settings, stack, SECRET, GatewayMetrics())
    url = await exits.enter_async_context(serving(app))
    exits.callback(app[CONTEXT].lifecycle.stop)
    return EmbeddedGateway(url, stack, app, gateway.settings, gateway.client)


@pytest.mark.usefixtures("hasty")
async def test_an_order_that_no_gateway_knows_any_more_is_sent_again(
    gateway: EmbeddedGateway, tmp_path: Path
) -> None:
    port = int(gateway.url.rpartition(":")[2])
    exchanges: list[Exchange] = []
    async with (
        open_gateway(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}") as successor,
        proxy(lambda: port) as link,
        SaleClient(f"http://127.0.0.1:{link.port}", observer=exchanges.append) as client,
    ):
        successor.drain()
        buying = asyncio.create_task(client.buy(TV))
        async with asyncio.timeout(60):
            while not exchanges:
                await asyncio.sleep(0.02)
            # Its queue is another one: what waited is lost with the queue of the first.
            port = int(successor.url.rpartition(":")[2])
            link.reset()
            order = await buying
    assert order.confirmed
    assert exchanges[0].order is not None
    assert exchanges[0].order.order_id == order.order_id
    assert [each.status for each in exchanges if each.method == "POST"] == [202, 202]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "trick",
    [
        *("lose the request", "lose the answer", "break off the answer", "502", "a login page"),
        *("a 404 of a proxy", "queue full"),
    ],
)
async def test_a_look_that_is_not_answered_is_made_again(
    gateway: EmbeddedGateway, between: Middleman, trick: str
) -> None:
    gateway.drain()
    async with SaleClient(between.url) as client:
        placed = await client.place(TV)
        between.tricks = [trick, trick]
        assert (await client.follow(placed.order_id)).confirmed
        between.tricks = [trick, trick]
        assert (await client.look(placed.order_id)).confirmed


async def test_an_order_that_waits_for_longer_than_the_patience_is_undecided(
    gateway: EmbeddedGateway,
) -> None:
    async with SaleClient(gateway.url) as client:
        with pytest.raises(Undecided) as raised:
            await client.buy(TV, patience=1.5)
        gateway.drain()
        assert (await client.follow(raised.value.order_id)).confirmed


async def test_long_polls_of_a_gateway_that_allows_none_are_not_a_tight_loop(
    sqlite_url: str,
) -> None:
    async with open_gateway(sqlite_url, wait_seconds=0.01) as gateway:
        exchanges: list[Exchange] = []
        async with SaleClient(gateway.url, observer=exchanges.append) as client:
            placed = await client.place(TV)
            with pytest.raises(Undecided):
                await client.follow(placed.order_id, patience=1.5)
    assert 3 <= len(exchanges) <= 8


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("order_id", ["0" * 32, "x", "../sales", "a/b?c#d", ""])
async def test_an_id_that_is_none_is_an_error(gateway: EmbeddedGateway, order_id: str) -> None:
    async with SaleClient(gateway.url) as client:
        for call in (client.look, client.follow):
            with pytest.raises((UnknownOrder, Undecided)):
                await call(order_id, patience=10)
