"""Whatever the drain waits for, it follows a change of its controls within a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flashsale.broker import Deliveries, open_broker, sale_topology
from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import DrainChange
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger
from tests.conftest import an_order
from tests.integration.consumer.one_drain import Drain, draining

TOPOLOGY = sale_topology("", max_length=1000, queue_type="classic")
PAUSE, RATE = DrainChange(paused=True), DrainChange(rate=300)


async def follow_seconds(ledger: Ledger, drain: Drain, change: DrainChange) -> float:
    """Return how long after its commit the drain follows a change."""
    before = drain.control.paused, drain.control.rate
    await ledger.controls.change(TOPOLOGY.orders, "drain.change", change.apply, Author("operator"))
    changed = time.monotonic()
    async with asyncio.timeout(60):
        while (drain.control.paused, drain.control.rate) == before:
            await asyncio.sleep(0.005)
    return time.monotonic() - changed


@pytest.mark.parametrize("change", [PAUSE, RATE], ids=["pause", "rate"])
async def test_a_drain_that_waits_for_its_slow_rate_follows(
    ledger: Ledger, change: DrainChange
) -> None:
    await ledger.create_sale(Sale("tv", 1000))
    orders = [an_order(accepted_at=time.time()) for _ in range(9)]
    async with (
        open_broker("memory://", TOPOLOGY, 5) as broker,
        draining(broker, TOPOLOGY, ledger, 1, orders) as drain,
    ):
        await drain.released(2)
        assert await follow_seconds(ledger, drain, change) < 1.0


@pytest.mark.parametrize("change", [PAUSE, RATE], ids=["pause", "rate"])
async def test_a_drain_whose_consumer_opens_slowly_follows(
    ledger: Ledger, change: DrainChange, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens, opened = asyncio.Event(), asyncio.Event()
    async with open_broker("memory://", TOPOLOGY, 5) as broker:
        consume = broker.consume

        @asynccontextmanager
        async def slow(queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
            opens.set()
            await opened.wait()
            async with consume(queue, prefetch) as deliveries:
                yield deliveries

        monkeypatch.setattr(broker, "consume", slow)
        async with draining(broker, TOPOLOGY, ledger, 1, []) as drain:
            async with asyncio.timeout(60):
                await opens.wait()
            assert await follow_seconds(ledger, drain, change) < 1.0
            opened.set()


async def test_a_drain_that_stops_while_its_consumer_opens_leaves_no_consumer(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = asyncio.Event()
    async with open_broker("memory://", TOPOLOGY, 5) as broker:

        @asynccontextmanager
        async def never(queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
            opens.set()
            await asyncio.Event().wait()
            yield  # type: ignore[misc]

        monkeypatch.setattr(broker, "consume", never)
        async with draining(broker, TOPOLOGY, ledger, 1, []):
            async with asyncio.timeout(60):
                await opens.wait()
        assert (await broker.depth(TOPOLOGY.orders)).consumers == 0


@pytest.mark.parametrize("change", [PAUSE, RATE], ids=["pause", "rate"])
async def test_an_idle_drain_that_looks_for_the_ends_of_holds_follows(
    ledger: Ledger, change: DrainChange
) -> None:
    await ledger.create_sale(Sale("tv", 1000, hold_seconds=600))
    orders = [an_order(accepted_at=time.time())]
    async with (
        open_broker("memory://", TOPOLOGY, 5) as broker,
        draining(broker, TOPOLOGY, ledger, 1, orders) as drain,
    ):
        await drain.released(1)
        assert await follow_seconds(ledger, drain, change) < 1.0
