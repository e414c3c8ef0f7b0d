"""Two gateways, one sale: what a shopper is told, wherever it asks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from flashsale.broker import RabbitMQ, sale_topology
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger, open_ledger
from flashsale.messages.orders import encode_order
from loadtest.processes import Process, process, scrape
from loadtest.servers import RabbitNode, free_port, rabbitmq
from tests.conftest import an_order, unique

FINAL = {"confirmed", "rejected", "failed"}


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with rabbitmq() as own:
        yield own


@dataclass
class Event:
    name: str
    data: dict[str, Any]
    id: str | None


@dataclass
class Gateway:
    """One of the gateways, as a client sees it."""

    client: aiohttp.ClientSession
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def order(self, key: str | None = None, customer: str | None = None) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"sku": "tv", "customer_id": customer or unique("c")}
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
        """Wait until it knows of an order that another one took: a moment, on a busy machine."""
        async with asyncio.timeout(20):
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
    """Events of a stream, as a browser reads them."""
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
class Shop:
    ledger: Ledger
    node: RabbitNode
    environment: dict[str, str]
    folder: Path
    client: aiohttp.ClientSession
    stack: ExitStack
    started: list[Process] = field(default_factory=list)

    def gateway(self, **settings: str) -> Gateway:
        gateway = Gateway(self.client, free_port(), free_port())
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


@pytest.fixture
async def shop(node: RabbitNode, postgres_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    environment = {
        "FLASHSALE_BROKER_URL": node.url,
        "FLASHSALE_BROKER_PREFIX": f"{unique('s')}.",
        "FLASHSALE_DATABASE_URL": postgres_url,
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_PUBLISH_TIMEOUT_SECONDS": "10",
    }
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", stock=1000))
        limit = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=limit) as client:
            with ExitStack() as stack:
                yield Shop(ledger, node, environment, tmp_path, client, stack)


async def until_final(gateway: Gateway, order_id: str) -> Any:
    """Poll until the order is decided; its places in line never grow."""
    position = None
    async with asyncio.timeout(60):
        while (seen := await gateway.status(order_id))["status"] == "queued":
            assert position is None or 1 <= seen["position"] <= position
            position = seen["position"]
            await asyncio.sleep(0.02)
    return seen


async def test_an_order_of_one_gateway_is_seen_to_its_end_on_the_other(shop: Shop) -> None:
    first, second = shop.gateway(), shop.gateway()
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
    shop.start("consumer")
    assert (await polled)["status"] == "confirmed"
    status, body, headers = await waited
    assert (status, body["status"]) == (200, "confirmed")
    assert headers["Preference-Applied"] == "wait=20"
    last = await streamed
    assert (last.name, last.data["status"]) == ("confirmed", "confirmed")
    # And a stream that opens after the decision tells it at once.
    assert (await second.last_event(order_id)).data == last.data


async def test_every_202_reaches_its_end_on_streams_opened_before_and_after(shop: Shop) -> None:
    rate = {"drain_rate": "400"}
    gateways = [shop.gateway(**rate), shop.gateway(**rate)]
    answers = await asyncio.gather(*(gateways[n % 2].order() for n in range(1200)))
    ids = [body["order_id"] for status, body in answers if status == 202]
    assert len(ids) == 1200
    before = [
        asyncio.create_task(gateways[(n + 1) % 2].last_event(order_id))
        for n, order_id in enumerate(ids[::4])
    ]
    polls = [asyncio.create_task(until_final(gateways[0], order_id)) for order_id in ids[1::40]]
    shop.start("consumer", **rate)
    ends = [event.data for event in await asyncio.gather(*before)]
    await asyncio.gather(*polls)
    assert {end["status"] for end in ends} <= FINAL
    outcomes = await shop.ledger.outcomes("tv")
    for end in ends:
        outcome = outcomes[end["order_id"]]
        assert (end["status"], end.get("reason")) == (outcome.status, outcome.reason)
    assert sum(outcome.status == "confirmed" for outcome in outcomes.values()) == 1000
    after = await asyncio.gather(*(gateways[n % 2].last_event(i) for n, i in enumerate(ids[::10])))
    assert all(event.data["status"] == outcomes[event.data["order_id"]].status for event in after)


async def test_kill_9_of_the_drain_leaves_no_stream_without_its_end(shop: Shop) -> None:
    rate = {"drain_rate": "400"}
    gateways = [shop.gateway(**rate), shop.gateway(**rate)]
    answers = await asyncio.gather(*(gateways[n % 2].order() for n in range(800)))
    ids = [body["order_id"] for _, body in answers]
    streams = [
        asyncio.create_task(gateways[n % 2].last_event(order_id))
        for n, order_id in enumerate(ids[::4])
    ]
    first = shop.start("consumer", **rate)
    await until_final(gateways[0], ids[50])
    shop.start("consumer", **rate)
    first.kill()
    ends = [event.data for event in await asyncio.gather(*streams)]
    outcomes = await shop.ledger.outcomes("tv")
    assert all(end["status"] == outcomes[end["order_id"]].status for end in ends)


async def test_the_place_in_line_is_exact_with_one_gateway(shop: Shop) -> None:
    gateway = shop.gateway()
    ids = []
    for place in range(1, 31):
        _, body = await gateway.order()
        assert body["position"] == place
        ids.append(body["order_id"])
    assert [(await gateway.status(i))["position"] for i in ids] == list(range(1, 31))


async def test_with_two_gateways_the_place_counts_both(shop: Shop) -> None:
    first, second = shop.gateway(), shop.gateway()
    for _ in range(20):
        await first.order()
    async with asyncio.timeout(5):
        while True:
            _, body = await second.order()
            if body["position"] > 20:
                break
            await asyncio.sleep(0.05)
    assert (await second.status(body["order_id"]))["position"] == body["position"]


async def test_the_eta_is_of_the_measured_rate_and_null_when_nobody_drains(shop: Shop) -> None:
    # The gateway is told 2,000/s; the drain does 100.
    gateway = shop.gateway()
    for _ in range(400):
        _, body = await gateway.order()
    last = body["order_id"]
    assert body["eta_seconds"] is None
    consumer = shop.start("consumer", drain_rate="100")

    async def seen(condition: Any) -> Any:
        async with asyncio.timeout(20):
            while not condition(found := await gateway.status(last)):
                await asyncio.sleep(0.02)
            return found

    measured = await seen(lambda found: found["eta_seconds"] and found["position"] < 280)
    assert measured["eta_seconds"] == pytest.approx(measured["position"] / 100, rel=0.15)
    consumer.kill()
    await seen(lambda found: found["eta_seconds"] is None)


async def test_sold_out_is_refused_everywhere_at_once_and_opens_again(shop: Shop) -> None:
    await shop.ledger.create_sale(Sale("one", stock=1))
    first, second = shop.gateway(), shop.gateway()
    shop.start("consumer")

    async def order(gateway: Gateway) -> Any:
        async with shop.client.post(
            f"{gateway.url}/orders", json={"sku": "one", "customer_id": unique("c")}
        ) as answer:
            return answer.status, await answer.json()

    async with asyncio.timeout(20):
        while (await order(first))[0] == 404:
            await asyncio.sleep(0.05)
        while (await order(second))[0] != 409:
            await asyncio.sleep(0.01)
    status, body = await order(first)
    assert (status, body["type"]) == (409, "/problems/sold-out")
    for gateway in (first, second):
        assert (await gateway.get("/sales/one"))[1]["state"] == "sold_out"
    async with second.events("/sales/one/events") as events:
        assert (await anext(events)).data["state"] == "sold_out"
        await execute(shop, "UPDATE sales SET stock = 2 WHERE sku = 'one'")
        async with asyncio.timeout(10):
            async for event in events:
                if event.data["state"] == "open":
                    break
    async with asyncio.timeout(10):
        while (await order(first))[0] != 202:
            await asyncio.sleep(0.05)


async def execute(shop: Shop, statement: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(shop.environment["FLASHSALE_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_a_flood_of_unknown_ids_costs_the_database_no_more_than_its_share(
    shop: Shop,
) -> None:
    gateway = shop.gateway(status_queries="20")
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


async def test_a_gateway_that_starts_in_the_middle_tells_the_truth(shop: Shop) -> None:
    first = shop.gateway()
    ids = [(await first.order())[1]["order_id"] for _ in range(50)]
    shop.start("consumer")
    await until_final(first, ids[-1])
    late = shop.gateway()
    for order_id in ids:
        assert (await late.status(order_id))["status"] == "confirmed"


async def test_what_is_announced_while_a_gateway_is_cut_off_is_not_lost(shop: Shop) -> None:
    gateway = shop.gateway()
    ids = [(await gateway.order())[1]["order_id"] for _ in range(50)]
    streams = [asyncio.create_task(gateway.last_event(order_id)) for order_id in ids]
    # The order is decided, and no announcement ever comes: its exchange has no listener.
    shop.start("consumer", broker_prefix="elsewhere.")
    topology = sale_topology("elsewhere.", 2000, "classic")
    async with RabbitMQ(shop.node.url, topology) as broker:
        for order_id in ids:
            await broker.publish(
                topology.orders, "order", encode_order(an_order(id=order_id)), message_id=order_id
            )
    ends = await asyncio.gather(*streams)
    assert {end.data["status"] for end in ends} == {"confirmed"}


async def test_a_broker_that_restarts_leaves_no_shopper_in_the_dark(
    shop: Shop, node: RabbitNode
) -> None:
    gateway = shop.gateway()
    ids = [(await gateway.order())[1]["order_id"] for _ in range(50)]
    streams = [asyncio.create_task(gateway.last_event(order_id)) for order_id in ids]
    node.kill()
    node.start()
    shop.start("consumer")
    ends = await asyncio.gather(*streams)
    assert {end.data["status"] for end in ends} == {"confirmed"}


async def test_an_order_that_could_not_be_handled_says_failed(shop: Shop) -> None:
    gateway = shop.gateway()
    shop.start("consumer")
    topology = sale_topology(shop.environment["FLASHSALE_BROKER_PREFIX"], 2000, "classic")
    order_id = random_order_id()
    async with RabbitMQ(shop.node.url, topology) as broker:
        await broker.publish(topology.orders, "order", b"no order", message_id=order_id)
    async with asyncio.timeout(20):
        while (answer := await gateway.get(f"/orders/{order_id}"))[0] == 404:
            await asyncio.sleep(0.05)
    assert answer[1]["status"] == "failed"
    assert "not an order" in answer[1]["reason"]
    assert (await gateway.last_event(order_id)).name == "failed"


async def test_a_retry_after_the_decision_does_not_go_back_to_queued(shop: Shop) -> None:
    gateway = shop.gateway()
    shop.start("consumer")
    _, body = await gateway.order(key="k", customer="me")
    await until_final(gateway, body["order_id"])
    status, again = await gateway.order(key="k", customer="me")
    assert (status, again["order_id"]) == (202, body["order_id"])
    assert (again["status"], again["position"], again["eta_seconds"]) == ("confirmed", 0, 0.0)


@pytest.mark.parametrize(
    ("preference", "applied"),
    [
        ("wait=0", "wait=0"),
        ("wait=1", "wait=1"),
        ("respond-async, WAIT = 1", "wait=1"),
        ('wait="1"; foo', "wait=1"),
        ("wait=99999", "wait=2"),
        ("wait", None),
        ("wait=-1", None),
        ("awaiting=1", None),
    ],
)
async def test_a_preference_is_applied_as_far_as_it_is_understood(
    shop: Shop, preference: str, applied: str | None
) -> None:
    gateway = shop.gateway(wait_seconds="2")
    _, body = await gateway.order()
    started = time.monotonic()
    status, seen, headers = await gateway.get(f"/orders/{body['order_id']}", Prefer=preference)
    seconds = time.monotonic() - started
    assert (status, seen["status"]) == (200, "queued")
    assert headers.get("Preference-Applied") == applied
    assert seconds >= (0 if applied is None else int(applied[-1]) - 0.05)


async def test_a_stream_that_ended_well_is_not_opened_again(shop: Shop) -> None:
    gateway = shop.gateway()
    shop.start("consumer")
    _, body = await gateway.order()
    path = f"/orders/{body['order_id']}/events"
    last = await gateway.last_event(body["order_id"])
    assert last.id == "final-confirmed"
    async with shop.client.get(gateway.url + path, headers={"Last-Event-ID": last.id}) as answer:
        assert answer.status == 204
    async with gateway.events(path, **{"Last-Event-ID": "queued-1"}) as events:
        assert (await anext(events)).name == "confirmed"


async def test_more_streams_than_allowed_are_refused(shop: Shop) -> None:
    gateway = shop.gateway(streams="2")
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


async def test_a_reader_that_is_gone_is_noticed(shop: Shop) -> None:
    gateway = shop.gateway()

    async def opened(count: int) -> None:
        async with asyncio.timeout(10):
            while scrape(gateway.metrics_port)[("flashsale_streams_open", "")] != count:
                await asyncio.sleep(0.05)

    async with gateway.events("/sales/tv/events") as events:
        await anext(events)
        await opened(1)
    await execute(shop, "UPDATE sales SET stock = 1001 WHERE sku = 'tv'")
    await opened(0)


async def test_a_gateway_that_stops_ends_its_streams_and_long_polls(shop: Shop) -> None:
    gateway = shop.gateway()
    _, body = await gateway.order()
    path = f"/orders/{body['order_id']}"
    polled = asyncio.create_task(gateway.get(path, Prefer="wait=30"))
    await asyncio.sleep(0)  # it leaves, on the connection of the order, and is read before the next
    async with gateway.events(f"{path}/events") as events:
        assert (await anext(events)).name == "queued"
        started = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(shop.started[-1].stop))
        assert [event async for event in events if event.name != "progress"] == []
    assert (await polled)[1]["status"] == "queued"
    assert await stopping == 0
    assert time.monotonic() - started < 8
