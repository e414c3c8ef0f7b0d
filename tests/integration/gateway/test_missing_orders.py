"""Accepted orders that the broker has removed become visible."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from flashsale.broker import RabbitMQ, Topology
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.order_states import Status
from flashsale.ledger import open_ledger
from flashsale.messages.announcements import Decision
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.state.backlog import Backlog
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.missing_orders import MissingOrders
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition
from gateway.state.stream_changes import StreamChanges
from loadtest.servers import RabbitNode

QUIET = 0.4


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    with (
        patch("gateway.state.missing_orders._LOOK_SECONDS", 0.05),
        patch("gateway.state.missing_orders.QUIET_SECONDS", QUIET),
    ):
        yield


class Watched:
    """What a gateway knows of its orders, on a broker and a database."""

    def __init__(self, broker: RabbitMQ, topology: Topology, orders: KnownOrders) -> None:
        self.broker = broker
        self.topology = topology
        self.orders = orders
        self.metrics = GatewayMetrics()

    async def accept(self, count: int) -> None:
        for _ in range(count):
            order_id = random_order_id()
            await self.broker.publish(
                self.topology.orders, "order", b"order", message_id=str(order_id)
            )
            self.orders.add_taken(order_id, "tv", 1)

    @property
    def missing(self) -> float:
        return self.metrics.registry.get_sample_value("flashsale_missing_orders") or 0.0

    async def until_missing(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.missing != count:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def watched(url: str, topology: Topology, sqlite_url: str) -> AsyncIterator[Watched]:
    queue_position = QueuePosition(KnownDrain(100))
    orders = KnownOrders(queue_position, 1000, 600)
    async with open_ledger(sqlite_url) as ledger, RabbitMQ(url, topology) as broker:
        await ledger.migrate()
        made = Watched(broker, topology, orders)
        backlog = Backlog(broker, topology.orders, queue_position, StreamChanges())
        look = MissingOrders(
            orders,
            backlog,
            LedgerLookup(ledger, 100, made.metrics),
            made.metrics,
            broker=broker,
            spilled=topology.spilled_orders,
        )
        tasks = [asyncio.create_task(backlog.follow()), asyncio.create_task(look.follow())]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def test_orders_that_a_policy_let_expire_are_missing_and_logged_once(
    rabbit_node: RabbitNode, topology: Topology, sqlite_url: str
) -> None:
    prefix = topology.orders.removesuffix("sale.orders")
    with capture_logs() as logs:
        async with watched(rabbit_node.url, topology, sqlite_url) as gateway:
            definition = '{"message-ttl":100}'
            await asyncio.to_thread(
                rabbit_node.control, "set_policy", prefix, f"^{prefix}", definition
            )
            await gateway.accept(3)
            # The surplus goes to a queue to which the policy applies, too.
            for queue in (topology.orders, topology.spilled_orders or ""):
                async with asyncio.timeout(60):
                    while (await gateway.broker.depth(queue)).ready:
                        await asyncio.sleep(0.05)
            await asyncio.sleep(2 * QUIET)
            assert gateway.missing == 0  # nobody drains, so nobody knows
            async with gateway.broker.consume(topology.orders, 10):
                await gateway.until_missing(3)
                await asyncio.sleep(QUIET)
        await asyncio.to_thread(rabbit_node.control, "clear_policy", prefix)
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["count"] for entry in errors] == [3]
    assert "missing" in errors[0]["event"]


async def test_orders_that_wait_or_are_in_hand_for_a_short_time_are_not_missing(
    rabbit_url: str, topology: Topology, sqlite_url: str
) -> None:
    async with watched(rabbit_url, topology, sqlite_url) as gateway:
        await gateway.accept(2)
        await asyncio.sleep(3 * QUIET)
        assert gateway.missing == 0
        async with gateway.broker.consume(topology.orders, 1):
            await asyncio.sleep(3 * QUIET)
            assert gateway.missing == 0  # one is in hand, and one is ready


async def test_an_order_that_is_decided_after_all_is_no_longer_missing(
    rabbit_url: str, topology: Topology, sqlite_url: str
) -> None:
    async with watched(rabbit_url, topology, sqlite_url) as gateway:
        await gateway.accept(1)
        async with gateway.broker.consume(topology.orders, 5):
            await gateway.until_missing(1)  # in hand for too long
            [order_id] = gateway.orders.oldest_waiting(10, 0)
            gateway.orders.add_decided(Decision(order_id, Status.CONFIRMED, None, "tv", 1))
            await gateway.until_missing(0)
