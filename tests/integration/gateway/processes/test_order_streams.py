"""`GET /orders/{id}/events`: every stream ends with the decision."""

import asyncio
import time
from pathlib import Path

from flashsale.broker import RabbitMQ, sale_topology
from flashsale.messages.orders import encode_order
from loadtest.processes import scrape
from loadtest.servers import RabbitNode
from tests.conftest import an_order
from tests.integration.gateway.real_shop import RealShop, open_real_shop, until_final

FINAL = {"confirmed", "rejected", "failed"}


async def test_every_202_is_decided_on_streams_opened_before_and_after(real_shop: RealShop) -> None:
    rate = {"drain_rate": "400"}
    gateways = [real_shop.gateway(**rate), real_shop.gateway(**rate)]
    answers = await asyncio.gather(*(gateways[n % 2].order() for n in range(1200)))
    ids = [body["order_id"] for status, body in answers if status == 202]
    assert len(ids) == 1200
    before = [
        asyncio.create_task(gateways[(n + 1) % 2].last_event(order_id))
        for n, order_id in enumerate(ids[::4])
    ]
    polls = [asyncio.create_task(until_final(gateways[0], order_id)) for order_id in ids[1::40]]
    real_shop.start("consumer", **rate)
    ends = [event.data for event in await asyncio.gather(*before)]
    await asyncio.gather(*polls)
    assert {end["status"] for end in ends} <= FINAL
    outcomes = await real_shop.ledger.outcomes("tv")
    for end in ends:
        outcome = outcomes[end["order_id"]]
        assert (end["status"], end.get("reason")) == (outcome.status, outcome.reason)
    assert sum(outcome.status == "confirmed" for outcome in outcomes.values()) == 1000
    after = await asyncio.gather(*(gateways[n % 2].last_event(i) for n, i in enumerate(ids[::10])))
    assert all(event.data["status"] == outcomes[event.data["order_id"]].status for event in after)


async def test_kill_9_of_the_drain_leaves_no_stream_without_its_end(real_shop: RealShop) -> None:
    rate = {"drain_rate": "400"}
    gateways = [real_shop.gateway(**rate), real_shop.gateway(**rate)]
    answers = await asyncio.gather(*(gateways[n % 2].order() for n in range(800)))
    ids = [body["order_id"] for _, body in answers]
    streams = [
        asyncio.create_task(gateways[n % 2].last_event(order_id))
        for n, order_id in enumerate(ids[::4])
    ]
    first = real_shop.start("consumer", **rate)
    await until_final(gateways[0], ids[50])
    real_shop.start("consumer", **rate)
    first.kill()
    ends = [event.data for event in await asyncio.gather(*streams)]
    outcomes = await real_shop.ledger.outcomes("tv")
    assert all(end["status"] == outcomes[end["order_id"]].status for end in ends)


async def test_decisions_whose_announcements_are_lost_reach_their_streams(
    real_shop: RealShop,
) -> None:
    gateway = real_shop.gateway()
    ids = [(await gateway.order())[1]["order_id"] for _ in range(50)]
    streams = [asyncio.create_task(gateway.last_event(order_id)) for order_id in ids]
    # The order is decided, and no announcement ever comes: its exchange has no listener.
    real_shop.start("consumer", broker_prefix="elsewhere.")
    topology = sale_topology("elsewhere.", 2000, "quorum")
    async with RabbitMQ(real_shop.broker_url, topology) as broker:
        for order_id in ids:
            await broker.publish(
                topology.orders, "order", encode_order(an_order(id=order_id)), message_id=order_id
            )
    ends = await asyncio.gather(*streams)
    assert {end.data["status"] for end in ends} == {"confirmed"}


async def test_streams_get_their_decision_after_a_restart_of_the_broker(
    node: RabbitNode, postgres_url: str, tmp_path: Path
) -> None:
    async with open_real_shop(node.url, postgres_url, tmp_path) as real_shop:
        gateway = real_shop.gateway()
        ids = [(await gateway.order())[1]["order_id"] for _ in range(50)]
        streams = [asyncio.create_task(gateway.last_event(order_id)) for order_id in ids]
        node.kill()
        node.start()
        real_shop.start("consumer")
        ends = await asyncio.gather(*streams)
        assert {end.data["status"] for end in ends} == {"confirmed"}


async def test_a_stream_that_got_the_decision_is_not_opened_again(real_shop: RealShop) -> None:
    gateway = real_shop.gateway()
    real_shop.start("consumer")
    _, body = await gateway.order()
    path = f"/orders/{body['order_id']}/events"
    last = await gateway.last_event(body["order_id"])
    assert last.id == "final-confirmed"
    async with real_shop.client.get(
        gateway.url + path, headers={"Last-Event-ID": last.id}
    ) as answer:
        assert answer.status == 204
    async with gateway.events(path, **{"Last-Event-ID": "queued-1"}) as events:
        assert (await anext(events)).name == "confirmed"


async def test_more_streams_than_allowed_are_refused(real_shop: RealShop) -> None:
    gateway = real_shop.gateway(streams="2")
    _, body = await gateway.order()
    path = f"/orders/{body['order_id']}/events"
    async with (
        gateway.events(path) as one,
        gateway.events("/sales/tv/events") as two,
    ):
        await anext(one)
        await anext(two)
        status, problem, headers = await gateway.get(path)
        assert (status, problem["type"]) == (503, "/problems/too-many-streams")
        assert int(headers["Retry-After"]) > 0


async def test_a_stream_whose_reader_is_gone_is_closed(real_shop: RealShop) -> None:
    gateway = real_shop.gateway()

    async def opened(count: int) -> None:
        async with asyncio.timeout(60):
            while scrape(gateway.metrics_port)[("flashsale_streams_open", "")] != count:
                await asyncio.sleep(0.05)

    async with gateway.events("/sales/tv/events") as events:
        await anext(events)
        await opened(1)
    await real_shop.execute("UPDATE sales SET stock = 1001 WHERE sku = 'tv'")
    await opened(0)


async def test_a_gateway_that_stops_ends_its_streams_and_long_polls(real_shop: RealShop) -> None:
    gateway = real_shop.gateway()
    _, body = await gateway.order()
    path = f"/orders/{body['order_id']}"
    polled = asyncio.create_task(gateway.get(path, Prefer="wait=30"))
    await asyncio.sleep(0)  # it leaves, on the connection of the order, and is read before the next
    async with gateway.events(f"{path}/events") as events:
        assert (await anext(events)).name == "queued"
        started = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(real_shop.started[-1].stop))
        assert [event async for event in events if event.name != "progress"] == []
    assert (await polled)[1]["status"] == "queued"
    assert await stopping == 0
    assert time.monotonic() - started < 8
