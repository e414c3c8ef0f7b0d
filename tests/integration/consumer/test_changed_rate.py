"""The rate of a drain that runs is changed: the drain follows, and loses no order by it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from consumer.announcer import Announcer
from consumer.dead_letters import DeadLetters
from consumer.drain_control import DrainControl
from consumer.drain_loop import DrainLoop
from consumer.release_gate import ReleaseGate
from flashsale.broker import Broker, Deliveries, Topology, open_broker, sale_topology
from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import DrainChange
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger
from flashsale.messages.orders import encode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics
from tests.conftest import an_order, unique


@pytest.mark.parametrize("kind", ["embedded", "real"])
async def test_a_drain_whose_rate_is_raised_prefetches_more_and_decides_each_order_once(
    kind: str, request: pytest.FixtureRequest, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.getfixturevalue("rabbit_url") if kind == "real" else "memory://"
    topology: Topology = sale_topology(f"{unique('r')}.", max_length=1000, queue_type="classic")
    await ledger.create_sale(Sale("tv", 1000))
    orders = [an_order(accepted_at=time.time()) for _ in range(400)]
    async with open_broker(url, topology, 5) as broker:
        prefetches = record_prefetches(broker, monkeypatch)
        for order in orders:
            await broker.publish(topology.orders, "order", encode_order(order), message_id=order.id)
        control = DrainControl(40)
        metrics = ConsumerMetrics()
        announcer = Announcer(broker=broker, exchange=topology.outcomes, control=control)
        gate = ReleaseGate(control)
        drain = DrainLoop(
            broker=broker,
            queue=topology.orders,
            leases=ledger,
            control=control,
            gate=gate,
            dead_letters=DeadLetters(
                broker=broker, exchange=topology.orders, announcer=announcer, metrics=metrics
            ),
            announcer=announcer,
            wake_relay=lambda _: None,
            metrics=metrics,
        )
        stop = asyncio.Event()
        draining = asyncio.create_task(drain.run(stop))
        async with asyncio.timeout(30):
            while gate.log.total < 4:
                await asyncio.sleep(0.001)
            faster = DrainChange(rate=4000)
            author = Author("operator")
            await ledger.controls.change(topology.orders, "drain.change", faster.apply, author)
            while len(await ledger.outcomes("tv")) < len(orders):
                await asyncio.sleep(0.01)
        stop.set()
        await draining
        assert (await broker.depth(topology.orders)).ready == 0
    gate.close()
    assert prefetches == [4, 400]
    assert gate.log.max_in_one_second <= 4000
    (sale,) = await ledger.sales()
    assert sale.sold == len(orders)


def record_prefetches(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    consume = broker.consume

    @asynccontextmanager
    async def recording(queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
        seen.append(prefetch)
        async with consume(queue, prefetch) as deliveries:
            yield deliveries

    monkeypatch.setattr(broker, "consume", recording)
    return seen
