"""The whole path in processes of its own, on real servers, and its worst moments."""

import asyncio
import signal
import time

from flashsale.broker import Delivery, RabbitMQ, sale_topology
from flashsale.domain.order_states import Status
from flashsale.messages.orders import encode_order
from loadtest.processes import scrape
from loadtest.servers import RabbitNode, free_port
from tests.conftest import an_order
from tests.database import rows
from tests.integration.shop import Shop


async def test_a_spike_fills_the_queue_and_drains_at_the_rate(shop: Shop) -> None:
    metrics = free_port()
    limits = {"drain_rate": "400", "queue_max_length": "200"}
    with (
        shop.start("gateway", **limits) as gateway,
        shop.start("consumer", **limits, metrics_port=str(metrics)),
    ):
        shop.ready(gateway)
        # A machine that stops for a moment takes it from the second it falls in; a drain at
        # its rate has a whole second in one of the spikes.
        for spike in range(1, 6):
            await shop.orders(1500)
            await shop.balanced(1500 * spike)
            most = scrape(metrics)["flashsale_released_max_1s_orders", ""]
            assert most <= 400
            if most >= 390:
                break
        else:
            raise AssertionError(f"no second at the rate in five spikes: {most} at most")
    assert 503 in shop.statuses  # the queue was full, and nobody lost by it
    moments = await decided_at(shop)
    assert most_in_a_second(moments) <= 400


async def decided_at(shop: Shop) -> list[float]:
    found = await rows(shop.database_url, "SELECT decided_at FROM orders ORDER BY decided_at")
    return [row.decided_at for row in found]


def most_in_a_second(moments: list[float]) -> int:
    """The most in any half-open second, by two fingers."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


async def test_kill_9_of_the_consumer_in_the_middle_of_a_drain(shop: Shop) -> None:
    rate = {"drain_rate": "500"}
    with shop.start("gateway", **rate) as gateway:
        shop.ready(gateway)
        with shop.start("consumer", **rate) as first:
            await shop.orders(1000)
            await shop.decided(100)
            first.kill()
            decided = len(await shop.outcomes())
            assert decided < 1000
        with shop.start("consumer", **rate):
            await shop.balanced(1000)
    assert most_in_a_second(await decided_at(shop)) <= 500


async def test_a_standby_takes_over_and_the_rate_holds_across_it(shop: Shop) -> None:
    rate = {"drain_rate": "500"}
    with (
        shop.start("gateway", **rate) as gateway,
        shop.start("consumer", **rate) as first,
    ):
        shop.ready(gateway)
        await shop.orders(1500)
        await shop.decided(1)
        with shop.start("consumer", **rate):
            first.kill()
            await shop.balanced(1500)
    assert most_in_a_second(await decided_at(shop)) <= 500


async def test_kill_9_of_the_broker_in_the_middle_of_everything(
    shop: Shop, node: RabbitNode
) -> None:
    rate = {"drain_rate": "400", "publish_timeout_seconds": "1"}
    with shop.start("gateway", **rate) as gateway, shop.start("consumer", **rate) as consumer:
        shop.ready(gateway)
        ordering = asyncio.create_task(shop.orders(1500))
        await shop.decided(200)
        node.kill()
        await asyncio.to_thread(node.start)
        await ordering
        await shop.balanced(1500)
        assert gateway.running
        assert consumer.running
        # It heals without a restart: one more order goes all the way.
        await shop.order()
        await shop.balanced(1501)
    assert most_in_a_second(await decided_at(shop)) <= 400


async def test_a_poison_message_takes_no_other_with_it(shop: Shop, node: RabbitNode) -> None:
    topology = sale_topology(shop.environment["FLASHSALE_BROKER_PREFIX"], 2000, "quorum")
    unreadable, unwritable = an_order(), an_order(customer_id="ok")
    good = [an_order() for _ in range(20)]
    # What the gateway never lets through: a NUL, which PostgreSQL refuses.
    poison = encode_order(unwritable).replace(b"\xa2ok", b"\xa2o\0")
    bodies = [(order.id, encode_order(order)) for order in good]
    bodies[5:5] = [(unreadable.id, b"no order"), (unwritable.id, poison), ("", b"no id either")]
    async with RabbitMQ(node.url, topology) as broker:
        for order_id, body in bodies:
            await broker.publish(topology.orders, "order", body, message_id=order_id)
        with shop.start("consumer"):
            outcomes = await shop.decided(22)
            assert all(outcomes[order.id].status is Status.CONFIRMED for order in good)
            for dead in (unreadable, unwritable):
                assert outcomes[dead.id].status is Status.FAILED
            async with asyncio.timeout(60):
                while (await broker.depth(topology.orders)).ready:
                    await asyncio.sleep(0.05)
        assert (await broker.depth(topology.dead_orders)).ready == 3
        async with broker.consume(topology.dead_orders, prefetch=3) as deliveries:
            letters: list[Delivery] = []
            while len(letters) < 3:
                await deliveries.wait()
                letters += deliveries.take(3)
        assert {letter.body for letter in letters} == {b"no order", poison, b"no id either"}
        assert all("not an order" in str(letter.headers["reason"]) for letter in letters)
    assert (await shop.ledger.audit()).wrong == ()


async def test_sigterm_answers_what_was_accepted_and_loses_nothing(shop: Shop) -> None:
    with shop.start("gateway") as gateway, shop.start("consumer"):
        shop.ready(gateway)
        ordering = asyncio.create_task(shop.orders(600, at_once=20))
        await shop.decided(50)
        gateway.signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            while True:
                async with shop.client.get(f"{shop.url}/readyz") as answer:
                    if answer.status == 503:
                        break
        assert await asyncio.to_thread(gateway.wait) == 0
        with shop.start("gateway") as successor:
            shop.ready(successor)
            await ordering
            await shop.balanced(600)
    # Nobody heard anything but 202 and, while no gateway listened, a refused connection.
    assert set(shop.statuses) <= {202, 0}


async def test_sigterm_ends_a_consumer_after_its_batch(shop: Shop) -> None:
    with shop.start("gateway") as gateway:
        shop.ready(gateway)
        await shop.orders(500)
        with shop.start("consumer", drain_rate="200") as consumer:
            await shop.decided(50)
            assert consumer.stop() == 0
        left = 500 - len(await shop.outcomes())
        assert left > 0
        with shop.start("consumer"):
            await shop.balanced(500)


async def test_the_database_goes_away_and_comes_back(shop: Shop, postgres_url: str) -> None:
    import asyncpg

    rate = {"drain_rate": "500"}
    with shop.start("gateway", **rate) as gateway, shop.start("consumer", **rate):
        shop.ready(gateway)
        ordering = asyncio.create_task(shop.orders(1000))
        await shop.decided(50)
        connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
        for _ in range(3):  # as an operator's mistake would, three times
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                " application_name = 'flashsale drain' AND datname = current_database()"
            )
            await asyncio.sleep(0.5)
        await connection.close()
        await ordering
        await shop.balanced(1000)
    assert most_in_a_second(await decided_at(shop)) <= 500


async def test_an_idle_drain_keeps_its_session_and_sells_at_once(shop: Shop) -> None:
    with shop.start("gateway") as gateway, shop.start("consumer"):
        shop.ready(gateway)
        await shop.order()
        await shop.decided(1)
        await asyncio.sleep(12)  # longer than an idle session lives
        started = time.monotonic()
        await shop.order()
        await shop.decided(2)
        assert time.monotonic() - started < 5
    logs = "".join(log.read_text() for log in shop.folder.glob("consumer-*.log"))
    assert "drain interrupted" not in logs
