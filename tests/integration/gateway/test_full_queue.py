"""Gateways that refuse orders by themselves while their queue is full, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest

from flashsale.broker import Broker, BrokerError, open_broker, sale_topology
from flashsale.domain.order_ids import random_order_id
from gateway.intake.full_queue import FullQueue
from gateway.state.announcements import Announcements
from gateway.state.arrivals import OtherGateways
from tests.conftest import unique

LIMIT = 200
GATEWAYS = 3
CLIENTS = 8
BATCH = 20
BATCHES = 80
BATCH_SECONDS = 0.02


class FakeAnnouncements:
    decided = 0


class Gateway:
    """Offers orders all the time, as an intake does."""

    def __init__(self, name: str, broker: Broker, exchange: str) -> None:
        self.broker = broker
        self.announcements = FakeAnnouncements()
        others = OtherGateways()
        for other in range(GATEWAYS):
            if str(other) != name:
                others.heard(str(other))
        late = broker.refuses_late(exchange)
        self.full = FullQueue(cast("Announcements", self.announcements), others, refuses_late=late)
        self.exchange = exchange
        self.taken = 0

    async def offer(self) -> None:
        while True:
            if self.full.known and not self.full.lets_ask():
                await asyncio.sleep(0.0005)  # a client comes back
                continue
            try:
                confirm = self.broker.publish(
                    self.exchange, "order", b"order", message_id=random_order_id()
                )
                if self.full.known:
                    self.full.note_asked(confirm)
                await confirm
            except BrokerError:
                self.full.note_refusal()
            else:
                self.taken += 1


@pytest.fixture(params=["classic", "quorum"])
async def gateways(rabbit_url: str, request: pytest.FixtureRequest) -> AsyncIterator[list[Gateway]]:
    """Gateways whose clients fill one queue."""
    topology = sale_topology(f"{unique('full')}.", LIMIT, request.param)
    async with AsyncExitStack() as stack:
        gateways = []
        for number in range(GATEWAYS):
            broker = await stack.enter_async_context(
                open_broker(rabbit_url, topology, publish_timeout=10)
            )
            gateways.append(Gateway(str(number), broker, topology.orders))
        offering = [
            asyncio.create_task(gateway.offer()) for gateway in gateways for _ in range(CLIENTS)
        ]
        try:
            async with asyncio.timeout(60):
                while not all(gateway.full.known for gateway in gateways):
                    await asyncio.sleep(0.001)
                yield gateways
        finally:
            for task in offering:
                task.cancel()
            await asyncio.wait(offering)


async def test_a_drain_is_never_without_orders_and_no_gateway_is(gateways: list[Gateway]) -> None:
    broker, orders = gateways[0].broker, gateways[0].exchange
    before = [gateway.taken for gateway in gateways]
    found = []
    async with asyncio.timeout(60), broker.consume(orders, 2 * BATCH) as deliveries:
        for number in range(BATCHES):
            while len(deliveries) < BATCH:
                await deliveries.wait()
                await asyncio.sleep(0.001)
            await asyncio.sleep(BATCH_SECONDS)  # the pace of the drain
            deliveries.ack_through(deliveries.take(BATCH)[-1])
            for gateway in gateways:
                gateway.announcements.decided += BATCH
            if number % 10 == 0:
                found.append((await broker.depth(orders)).ready)
    taken = [gateway.taken - was for gateway, was in zip(gateways, before, strict=True)]
    assert min(taken) >= BATCH * BATCHES / GATEWAYS / 4
    # A quorum queue takes orders again when a fifth of it has drained.
    assert min(found) > 0
    late = broker.refuses_late(orders)
    assert max(found) <= LIMIT + (GATEWAYS * CLIENTS if late else 0)


async def test_a_purged_queue_is_filled_again(gateways: list[Gateway]) -> None:
    broker, orders = gateways[0].broker, gateways[0].exchange
    async with asyncio.timeout(60), broker.consume(orders, 10 * LIMIT) as deliveries:
        while len(deliveries) < LIMIT:
            await deliveries.wait()
            await asyncio.sleep(0.001)
        deliveries.ack_through(deliveries.take(10 * LIMIT)[-1])
    async with asyncio.timeout(60):
        while (await broker.depth(orders)).ready < LIMIT:
            await asyncio.sleep(0.001)
