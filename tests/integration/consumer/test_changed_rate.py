"""The rate of a drain that runs is changed: the drain follows, and loses no order by it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flashsale.broker import Broker, Deliveries, Topology, open_broker, sale_topology
from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import DrainChange
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger
from tests.conftest import an_order, unique
from tests.integration.consumer.one_drain import draining


@pytest.mark.parametrize("kind", ["embedded", "real"])
async def test_a_drain_whose_rate_is_raised_prefetches_more_and_decides_each_order_once(
    kind: str, request: pytest.FixtureRequest, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.getfixturevalue("rabbit_url") if kind == "real" else "memory://"
    topology: Topology = sale_topology(f"{unique('r')}.", max_length=1000, queue_type="classic")
    await ledger.create_sale(Sale("tv", 1000))
    orders = [an_order(accepted_at=time.time()) for _ in range(400)]
    author, faster = Author("operator"), DrainChange(rate=4000)
    async with open_broker(url, topology, 5) as broker:
        prefetches = record_prefetches(broker, monkeypatch)
        async with draining(broker, topology, ledger, 40, orders) as drain:
            await drain.released(4)
            await ledger.controls.change(topology.orders, "drain.change", faster.apply, author)
            await drain.released(len(orders))
        assert (await broker.depth(topology.orders)).ready == 0
    assert prefetches == [4, 400]
    assert drain.gate.log.max_in_one_second <= 4000
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
