"""A drain delivers the orders of the queue to a shop, each once, and says truly what it does."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from dataclasses import replace as replace_fields

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from consumer.announcer import Announcer
from consumer.dead_letters import DeadLetters
from consumer.delivery.beginning import largest_batch
from consumer.delivery.delivery_loop import DeliveryLoop
from consumer.delivery.route import Route, open_route
from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate
from flashsale.broker import Broker, Topology, open_broker, sale_topology
from flashsale.broker.dead_letters import peek, replay
from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import DrainChange
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import DeliveryState, Status
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger, open_ledger
from flashsale.messages.announcements import BatchDecided, decode_announcement
from flashsale.messages.orders import encode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.sinks.http.address import ReceiverAddress
from tests.conftest import an_order
from tests.shop import KEY, Shop, open_shop

TOPOLOGY = sale_topology("", max_length=10_000, queue_type="classic")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """An order service that takes every order."""
    async with open_shop() as opened:
        yield opened


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    """A broker in memory."""
    async with open_broker("memory://", TOPOLOGY, 5) as opened:
        yield opened


@dataclass(frozen=True)
class Drain:
    """A running drain."""

    loop: DeliveryLoop
    route: Route
    metrics: ConsumerMetrics
    stop: asyncio.Event
    task: "asyncio.Task[None]"


@asynccontextmanager
async def drained(
    broker: Broker,
    ledger: Ledger,
    shop: Shop,
    *,
    rate: int = 2000,
    batch: int | None = None,
    topology: Topology = TOPOLOGY,
    timeout_seconds: float = 10.0,
) -> AsyncIterator[Drain]:
    """Run a drain until the end of the block."""
    control, metrics = DrainControl(rate, largest_batch(rate)), ConsumerMetrics()
    stop = asyncio.Event()
    gate = ReleaseGate(control)
    announcer = Announcer(broker=broker, exchange=topology.outcomes, control=control)
    address = ReceiverAddress(url=shop.url, key=KEY, batch=batch, timeout_seconds=timeout_seconds)
    async with open_route(address, control, metrics) as route:
        loop = DeliveryLoop(
            broker=broker,
            queue=topology.orders,
            leases=ledger,
            control=control,
            gate=gate,
            route=route,
            dead_letters=DeadLetters(
                broker=broker, exchange=topology.orders, announcer=announcer, metrics=metrics
            ),
            announcer=announcer,
            wake_relay=lambda _: None,
            metrics=metrics,
        )
        task = asyncio.create_task(loop.run(stop))
        try:
            yield Drain(loop, route, metrics, stop, task)
        finally:
            stop.set()
            await task
            gate.close()


async def put(broker: Broker, orders: Sequence[Order], topology: Topology = TOPOLOGY) -> None:
    for order in orders:
        await broker.publish(topology.orders, "order", encode_order(order), message_id=order.id)


async def found(ledger: Ledger, orders: Sequence[Order]) -> list[str]:
    """What became of orders, `open` for those that are not ended."""
    outcomes = await ledger.find([OrderId(order.id) for order in orders])
    states = []
    for order in orders:
        outcome = outcomes.get(OrderId(order.id))
        pending = outcome is None or outcome.delivery is DeliveryState.PENDING
        states.append("open" if outcome is None or pending else outcome.status.value)
    return states


async def until_found(ledger: Ledger, orders: Sequence[Order], *states: str) -> None:
    async with asyncio.timeout(60):
        while (now := sorted(await found(ledger, orders))) != sorted(states):
            assert now
            await asyncio.sleep(0.1)


async def until_delivery(ledger: Ledger, order: Order, state: DeliveryState) -> None:
    async with asyncio.timeout(60):
        while True:
            outcome = (await ledger.find([OrderId(order.id)])).get(OrderId(order.id))
            if outcome is not None and outcome.delivery is state:
                return
            await asyncio.sleep(0.05)


async def until_seen(shop: Shop, attempts: int) -> None:
    async with asyncio.timeout(60):
        while (await shop.seen()).attempts < attempts:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("stock", [1000, None], ids=["our stock", "the stock of the shop"])
@pytest.mark.parametrize("batch", [None, 20], ids=["singly", "in batches"])
async def test_every_order_of_the_queue_is_delivered_once(
    broker: Broker, ledger: Ledger, shop: Shop, stock: int | None, batch: int | None
) -> None:
    await ledger.create_sale(Sale("tv", stock))
    orders = [an_order() for _ in range(150)]
    await put(broker, orders)
    async with drained(broker, ledger, shop, batch=batch):
        await until_found(ledger, orders, *150 * ["confirmed"])
        async with asyncio.timeout(60):
            while (await broker.depth(TOPOLOGY.orders)).ready:
                await asyncio.sleep(0.01)
    assert (await broker.depth(TOPOLOGY.orders)).ready == 0
    seen = await shop.seen()
    assert sorted(seen.orders) == sorted(order.id for order in orders)
    assert seen.attempts == 150
    outcomes = await ledger.find([OrderId(order.id) for order in orders])
    assert {o.order_ref for o in outcomes.values()} == set(shop.book.orders.values())
    assert (await ledger.audit()).wrong == ()


async def test_a_slow_shop_leaves_the_queue_full_however_large_its_requests_may_be(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await shop.behave(delay=0.5)
    await put(broker, [an_order() for _ in range(1000)])
    async with drained(broker, ledger, shop, rate=100, batch=50) as drain:
        await until_seen(shop, 50)
        # Two rounds of 64 requests of 50 orders would be all of them.
        assert drain.loop.prefetch == 20 + 100 + 100
        assert (await broker.depth(TOPOLOGY.orders)).ready >= 700


async def test_an_order_that_is_twice_in_the_queue_is_sent_once(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await shop.behave(delay=0.2)
    order = an_order()
    await put(broker, [order])
    async with drained(broker, ledger, shop):
        await until_seen(shop, 1)
        await put(broker, [order])
        await until_found(ledger, [order], "confirmed")
    assert (await shop.seen()).attempts == 1
    assert (await broker.depth(TOPOLOGY.orders)).ready == 0


async def test_a_paused_drain_sends_nothing_and_gives_back_what_it_has_not_sent(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    orders = [an_order() for _ in range(100)]
    await put(broker, orders)
    pause, resume = DrainChange(paused=True), DrainChange(paused=False)
    author = Author("operator")
    async with drained(broker, ledger, shop, rate=20):
        await until_seen(shop, 5)
        await ledger.controls.change(TOPOLOGY.orders, "drain.change", pause.apply, author)
        changed = time.monotonic()
        async with asyncio.timeout(60):
            while (await broker.depth(TOPOLOGY.orders)).consumers:
                await asyncio.sleep(0.01)
        assert time.monotonic() - changed < 1.0
        seen = await shop.seen()
        waiting = (await broker.depth(TOPOLOGY.orders)).ready
        assert waiting == 100 - seen.attempts
        await asyncio.sleep(0.2)
        assert (await shop.seen()).attempts == seen.attempts
        await ledger.controls.change(TOPOLOGY.orders, "drain.change", resume.apply, author)
        await until_seen(shop, seen.attempts + 5)


async def test_a_busy_shop_hears_nothing_for_as_long_as_it_wants(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await shop.behave(answer=429, retry_after="1", times=1)
    orders = [an_order() for _ in range(30)]
    await put(broker, orders)
    async with broker.subscribe(TOPOLOGY.outcomes) as heard, drained(broker, ledger, shop, rate=40):
        await until_found(ledger, orders, *30 * ["confirmed"])
        told = [decode_announcement(message.body) for message in heard.take(len(heard))]
    at = (await shop.seen()).latest
    in_flight = [moment for moment in at if moment < at[0] + 0.2]
    after = at[len(in_flight)]
    assert 1.0 <= after - at[0] < 2.0
    assert sorted(shop.book.orders) == sorted(order.id for order in orders)
    resumes = [t.resumes_at for t in told if isinstance(t, BatchDecided) and t.resumes_at]
    assert resumes
    assert all(moment - time.time() < 1.0 for moment in resumes)


async def test_an_order_that_the_shop_never_takes_is_dead_with_its_reason_and_can_be_replayed(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await shop.behave(answer=404)
    order = an_order()
    await put(broker, [order])
    [dead] = TOPOLOGY.dead_queues
    async with drained(broker, ledger, shop):
        await until_found(ledger, [order], "failed")
        [outcome] = (await ledger.find([OrderId(order.id)])).values()
        assert outcome.reason == "the receiver answers 404"
        [letter] = await peek(broker, dead)
        assert letter.headers["reason"] == "the receiver answers 404"
        await shop.behave()
        await replay(broker, dead, None)
        await until_found(ledger, [order], "confirmed")
    assert list(shop.book.orders) == [order.id]
    assert (await ledger.audit()).wrong == ()


async def test_a_confirmed_order_that_the_shop_never_takes_stays_confirmed(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", 10))
    await shop.behave(answer=404)
    order = an_order()
    await put(broker, [order])
    async with drained(broker, ledger, shop):
        await until_found(ledger, [order], "confirmed")
    [outcome] = (await ledger.find([OrderId(order.id)])).values()
    assert (outcome.status, outcome.delivery) == (Status.CONFIRMED, DeliveryState.FAILED)
    assert (await ledger.audit()).wrong == ()


async def test_a_confirmed_order_that_the_shop_refuses_is_dead_and_can_be_replayed(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    answers = [web.json_response({"type": "/problems/sold-out"}, status=409)]

    async def decide(_: web.Request) -> web.Response:
        return answers.pop() if answers else web.json_response({"order_ref": "A-1"})

    app = web.Application()
    app.router.add_post("/orders", decide)
    await ledger.create_sale(Sale("tv", 10))
    order = an_order()
    await put(broker, [order])
    [dead] = TOPOLOGY.dead_queues
    async with TestServer(app) as server:
        refusing = replace_fields(shop, base=str(server.make_url("")).rstrip("/"))
        async with drained(broker, ledger, refusing):
            await until_delivery(ledger, order, DeliveryState.FAILED)
            [letter] = await peek(broker, dead)
            assert letter.headers["reason"] == "refused: sold_out"
            await replay(broker, dead, None)
            await until_delivery(ledger, order, DeliveryState.DELIVERED)
    assert await found(ledger, [order]) == ["confirmed"]
    assert (await ledger.audit()).wrong == ()


async def test_a_drain_that_stops_settles_what_is_in_flight_and_gives_back_the_rest(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await shop.behave(delay=0.3)
    orders = [an_order() for _ in range(200)]
    await put(broker, orders)
    async with drained(broker, ledger, shop) as drain:
        await until_seen(shop, 64)
        drain.stop.set()
        await drain.task
    attempts = (await shop.seen()).attempts
    assert (await found(ledger, orders)).count("confirmed") == attempts
    assert (await broker.depth(TOPOLOGY.orders)).ready == 200 - attempts


async def test_a_drain_that_stops_does_not_wait_for_a_shop_that_hangs(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await shop.behave(delay=60)
    order = an_order()
    await put(broker, [order])
    async with drained(broker, ledger, shop, timeout_seconds=1.0) as drain:
        await until_seen(shop, 1)
        drain.stop.set()
        async with asyncio.timeout(5):
            await drain.task
    assert (await broker.depth(TOPOLOGY.orders)).ready == 1


async def test_an_answer_that_is_lost_makes_no_second_order(
    broker: Broker, ledger: Ledger, shop: Shop
) -> None:
    await ledger.create_sale(Sale("tv", None))
    await shop.behave(loses=True)
    orders = [an_order() for _ in range(5)]
    await put(broker, orders)
    async with drained(broker, ledger, shop):
        await until_seen(shop, 5)
        await shop.behave()
        await until_found(ledger, orders, *5 * ["confirmed"])
    seen = await shop.seen()
    assert sorted(seen.orders) == sorted(order.id for order in orders)
    assert seen.repeated >= 1


async def test_on_rabbitmq_and_postgresql_the_shop_never_sees_more_than_the_rate(
    rabbit_url: str, postgres_url: str, topology: Topology, shop: Shop
) -> None:
    topology = sale_topology(topology.orders, max_length=10_000, queue_type="quorum")
    orders = [an_order() for _ in range(900)]
    async with open_ledger(postgres_url) as ledger, open_broker(rabbit_url, topology, 5) as broker:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", None))
        await put(broker, orders, topology)
        async with drained(broker, ledger, shop, rate=300, topology=topology):
            await until_found(ledger, orders, *900 * ["confirmed"])
            async with asyncio.timeout(60):
                while (await broker.depth(topology.orders)).ready:
                    await asyncio.sleep(0.01)
    seen = await shop.seen()
    assert seen.most_in_a_second <= 300
    assert sorted(seen.orders) == sorted(order.id for order in orders)
