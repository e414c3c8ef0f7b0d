"""Two gateways, one sale: each tells the same state of an order."""

import asyncio
import time
from typing import Any

import pytest

from flashsale.broker import RabbitMQ, sale_topology
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.sales import Sale
from loadtest.processes import scrape
from tests.conftest import unique
from tests.integration.gateway.real_shop import RealGateway, RealShop, until_final


async def test_an_order_of_one_gateway_is_seen_to_its_end_on_the_other(real_shop: RealShop) -> None:
    first, second = real_shop.gateway(), real_shop.gateway()
    _, queued = await first.order()
    order_id = queued["order_id"]
    await second.heard_of(order_id)
    # Nobody drains: it waits, and nobody knows for how long.
    for gateway in (first, second):
        seen = await gateway.status(order_id)
        assert seen == {
            "order_id": order_id,
            "status": "queued",
            "position": 1,
            "eta_seconds": None,
        }
    polled = asyncio.create_task(until_final(second, order_id))
    waited = asyncio.create_task(second.get(f"/orders/{order_id}", Prefer="wait=20"))
    streamed = asyncio.create_task(second.last_event(order_id))
    real_shop.start("consumer")
    assert (await polled)["status"] == "confirmed"
    status, body, headers = await waited
    assert (status, body["status"]) == (200, "confirmed")
    assert headers["Preference-Applied"] == "wait=20"
    last = await streamed
    assert (last.name, last.data["status"]) == ("confirmed", "confirmed")
    # And a stream that opens after the decision tells it at once.
    assert (await second.last_event(order_id)).data == last.data


async def test_the_position_is_exact_with_one_gateway(real_shop: RealShop) -> None:
    gateway = real_shop.gateway()
    ids = []
    for place in range(1, 31):
        _, body = await gateway.order()
        assert body["position"] == place
        ids.append(body["order_id"])
    assert [(await gateway.status(i))["position"] for i in ids] == list(range(1, 31))


async def test_the_position_counts_the_orders_of_both_gateways(real_shop: RealShop) -> None:
    first, second = real_shop.gateway(), real_shop.gateway()
    for _ in range(20):
        await first.order()
    async with asyncio.timeout(60):
        while True:
            _, body = await second.order()
            if body["position"] > 20:
                break
            await asyncio.sleep(0.05)
    assert (await second.status(body["order_id"]))["position"] == body["position"]


async def test_the_eta_uses_the_measured_speed_and_is_null_without_a_drain(
    real_shop: RealShop,
) -> None:
    # The gateway is told 2,000/s; the drain does 100.
    gateway = real_shop.gateway()
    for _ in range(400):
        _, body = await gateway.order()
    last = body["order_id"]
    assert body["eta_seconds"] is None
    consumer = real_shop.start("consumer", drain_rate="100")

    async def seen(condition: Any) -> Any:
        async with asyncio.timeout(60):
            while not condition(found := await gateway.status(last)):
                await asyncio.sleep(0.02)
            return found

    measured = await seen(lambda found: found["eta_seconds"] and found["position"] < 280)
    assert measured["eta_seconds"] == pytest.approx(measured["position"] / 100, rel=0.15)
    consumer.kill()
    await seen(lambda found: found["eta_seconds"] is None)


async def test_a_sold_out_sale_is_refused_by_every_gateway_until_it_has_stock_again(
    real_shop: RealShop,
) -> None:
    await real_shop.ledger.create_sale(Sale("one", stock=1))
    first, second = real_shop.gateway(), real_shop.gateway()
    real_shop.start("consumer")

    async def order(gateway: RealGateway) -> Any:
        async with real_shop.client.post(
            f"{gateway.url}/orders", json={"sku": "one", "customer_id": unique("c")}
        ) as answer:
            return answer.status, await answer.json()

    async with asyncio.timeout(60):
        while (await order(first))[0] == 404:
            await asyncio.sleep(0.05)
        for gateway in (second, first):  # each hears it by itself
            while (found := await order(gateway))[0] != 409:
                await asyncio.sleep(0.01)
    status, body = found
    assert (status, body["type"]) == (409, "/problems/sold-out")
    for gateway in (first, second):
        assert (await gateway.get("/sales/one"))[1]["state"] == "sold_out"
    async with second.events("/sales/one/events") as events:
        assert (await anext(events)).data["state"] == "sold_out"
        # More than the orders that still wait: they were taken before everybody knew.
        await real_shop.execute("UPDATE sales SET stock = 1000 WHERE sku = 'one'")
        async with asyncio.timeout(60):
            async for event in events:
                if event.data["state"] == "open":
                    break
    async with asyncio.timeout(60):
        while (await order(first))[0] != 202:
            await asyncio.sleep(0.05)


async def test_a_flood_of_unknown_order_ids_stays_under_the_limit_of_queries(
    real_shop: RealShop,
) -> None:
    gateway = real_shop.gateway(status_queries="20")
    asked = 0
    started = time.monotonic()

    def queries() -> float:
        return scrape(gateway.metrics_port)[("flashsale_status_queries_total", "")]

    async def ask() -> None:
        nonlocal asked
        while time.monotonic() < started + 3:
            status, body, _ = await gateway.get(f"/orders/{random_order_id()}")
            assert (status, body["type"]) == (404, "/problems/unknown-order")
            asked += 1

    await asyncio.gather(*(ask() for _ in range(100)))
    seconds = time.monotonic() - started
    assert asked > 300
    assert 1 <= queries() <= 20 * (seconds + 1)


async def test_a_gateway_that_starts_in_the_middle_knows_decided_orders(
    real_shop: RealShop,
) -> None:
    first = real_shop.gateway()
    ids = [(await first.order())[1]["order_id"] for _ in range(50)]
    real_shop.start("consumer")
    await until_final(first, ids[-1])
    late = real_shop.gateway()
    for order_id in ids:
        assert (await late.status(order_id))["status"] == "confirmed"


async def test_a_message_that_is_no_order_has_the_state_failed(real_shop: RealShop) -> None:
    gateway = real_shop.gateway()
    real_shop.start("consumer")
    topology = sale_topology(real_shop.environment["FLASHSALE_BROKER_PREFIX"], 2000, "quorum")
    order_id = random_order_id()
    async with RabbitMQ(real_shop.broker_url, topology) as broker:
        await broker.publish(topology.orders, "order", b"no order", message_id=order_id)
    async with asyncio.timeout(60):
        while (answer := await gateway.get(f"/orders/{order_id}"))[0] == 404:
            await asyncio.sleep(0.05)
    assert answer[1]["status"] == "failed"
    assert "not an order" in answer[1]["reason"]
    assert (await gateway.last_event(order_id)).name == "failed"


async def test_a_retry_after_the_decision_does_not_go_back_to_queued(real_shop: RealShop) -> None:
    gateway = real_shop.gateway()
    real_shop.start("consumer")
    _, body = await gateway.order(key="k", customer="me")
    await until_final(gateway, body["order_id"])
    status, again = await gateway.order(key="k", customer="me")
    assert (status, again["order_id"]) == (202, body["order_id"])
    assert (again["status"], again["position"], again["eta_seconds"]) == ("confirmed", 0, 0.0)
