"""The client cancels orders and extends holds, and follows a hold to its end."""

import asyncio

import pytest

from flashsale.client import Intention, OrderState, Refused, SaleClient, Undecided, UnknownOrder
from flashsale.domain.sales import Sale
from tests.integration.client.middleman import Middleman
from tests.integration.gateway.embedded_gateway import EmbeddedGateway


@pytest.fixture
async def radios(gateway: EmbeddedGateway) -> EmbeddedGateway:
    """A gateway whose drain runs, and a sale of one radio, which is held for a payment."""
    sale = Sale("radio", 1, hold_seconds=600, waitlist=5, extendable=True)
    await gateway.stack.ledger.create_sale(sale)
    await gateway.context.sales.read()
    gateway.drain()
    return gateway


async def held(client: SaleClient) -> OrderState:
    async with asyncio.timeout(60):
        order = await client.buy(Intention("radio", customer_id="c-1"))
    assert order.status == "held"
    return order


async def test_a_held_order_is_decided_and_not_final(radios: EmbeddedGateway) -> None:
    async with SaleClient(radios.url) as client:
        order = await held(client)
        assert (order.decided, order.final, order.confirmed) == (True, False, False)
        assert order.pay_url == f"/demo/pay/{order.order_id}"
        assert order.expires_at is not None
        assert order.expires_in_seconds is not None
        assert 580 < order.expires_in_seconds <= 600
        assert (order.extendable, order.extended) == (True, False)
        following = asyncio.create_task(client.follow(order.order_id, final=True))
        done, _ = await asyncio.wait([following], timeout=0.5)
        assert not done
        paid = await radios.call("POST", str(order.pay_url), json={"outcome": "succeeded"})
        assert paid.body["result"] == "confirmed"
        async with asyncio.timeout(60):
            seen = await following
    assert (seen.confirmed, seen.final) == (True, True)


async def test_an_order_in_line_is_bought_when_an_item_is_free(radios: EmbeddedGateway) -> None:
    async with SaleClient(radios.url) as client:
        first = await held(client)
        buying = asyncio.create_task(client.buy(Intention("radio", customer_id="c-2")))
        waiting = radios.context.orders.open
        async with asyncio.timeout(60):
            while len(waiting.all()) < 2:
                await asyncio.sleep(0.02)
        assert not buying.done()
        assert (await client.cancel(first.order_id)).reason == "by_customer"
        async with asyncio.timeout(60):
            assert (await buying).status == "held"
        assert (await client.look(first.order_id)).final


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("trick", ["pass on", "lose the request", "lose the answer", "502"])
async def test_a_change_without_an_answer_is_sent_again(
    radios: EmbeddedGateway, between: Middleman, trick: str
) -> None:
    async with SaleClient(between.url) as client:
        order = await held(client)
        between.tricks = [trick]
        extended = await client.extend(order.order_id)
        assert extended.extended
        assert extended.expires_in_seconds is not None
        assert extended.expires_in_seconds > 1000
        between.tricks = [trick]
        cancelled = await client.cancel(order.order_id)
        assert (cancelled.status, cancelled.final) == ("cancelled", True)


async def test_a_change_that_is_not_possible_is_refused(radios: EmbeddedGateway) -> None:
    async with SaleClient(radios.url) as client:
        order = await held(client)
        await client.extend(order.order_id)
        with pytest.raises(Refused, match="extended-already"):
            await client.extend(order.order_id)
        await client.cancel(order.order_id)
        with pytest.raises(Refused, match="not-held"):
            await client.extend(order.order_id)
        bought = await client.buy(Intention("tv", customer_id="c-1"))
        with pytest.raises(Refused, match="not-cancellable"):
            await client.cancel(bought.order_id)
        with pytest.raises(UnknownOrder):
            await client.cancel("0" * 32)


@pytest.mark.usefixtures("hasty")
async def test_a_change_that_nobody_answers_is_undecided(between: Middleman) -> None:
    between.tricks = ["lose the request"] * 1000
    async with SaleClient(between.url) as client:
        with pytest.raises(Undecided):
            await client.cancel("0" * 32, patience=0.3)
