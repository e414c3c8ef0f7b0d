"""No second has more orders than the rate, by PostgreSQL's own record of its commits."""

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
from flashsale.audit.rules.limits import Limits
from flashsale.broker import open_broker, sale_topology
from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import DrainChange
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger, open_ledger
from flashsale.messages.orders import encode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics
from loadtest.measure.windows import most_in_window
from tests.conftest import an_order, unique
from tests.database import rows

TOPOLOGY = sale_topology("", max_length=10_000, queue_type="classic")


@pytest.fixture
async def observed(postgres_url: str) -> AsyncIterator[Ledger]:
    """A ledger on a PostgreSQL that records when each transaction was committed."""
    ((setting,),) = await rows(postgres_url, "SHOW track_commit_timestamp")
    if setting != "on":
        pytest.skip("this PostgreSQL does not track commit timestamps")
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1_000_000))
        yield ledger


@asynccontextmanager
async def draining(ledger: Ledger, rate: int, orders: int) -> AsyncIterator[ReleaseGate]:
    """Drain a backlog at that rate until the end of the block."""
    async with open_broker("memory://", TOPOLOGY, 5) as broker:
        for order in [an_order(accepted_at=time.time()) for _ in range(orders)]:
            body = encode_order(order)
            await broker.publish(TOPOLOGY.orders, "order", body, message_id=order.id)
        control, metrics, stop = DrainControl(rate), ConsumerMetrics(), asyncio.Event()
        announcer = Announcer(broker=broker, exchange=TOPOLOGY.outcomes, control=control)
        gate = ReleaseGate(control)
        drain = DrainLoop(
            broker=broker,
            queue=TOPOLOGY.orders,
            leases=ledger,
            control=control,
            gate=gate,
            dead_letters=DeadLetters(
                broker=broker, exchange=TOPOLOGY.orders, announcer=announcer, metrics=metrics
            ),
            announcer=announcer,
            wake_relay=lambda _: None,
            metrics=metrics,
        )
        running = asyncio.create_task(drain.run(stop))
        try:
            yield gate
        finally:
            stop.set()
            await running
            gate.close()


async def drained(gate: ReleaseGate, orders: int) -> None:
    """Wait until so many orders were released."""
    async with asyncio.timeout(60):
        while gate.log.total < orders:
            await asyncio.sleep(0.01)


async def test_no_second_of_commits_is_over_the_rate(observed: Ledger) -> None:
    async with draining(observed, rate=500, orders=2500) as gate:
        await drained(gate, 2500)
    commits = (await observed.holdings(["tv"])).commits
    assert sum(count for _, count in commits) == 2500
    assert most_in_window(commits, 1.0) <= 500


async def test_after_a_lowering_each_second_of_commits_is_within_the_new_rate(
    observed: Ledger,
) -> None:
    async with draining(observed, rate=600, orders=2000) as gate:
        for orders, rate in ((700, 200), (1000, 500)):
            await drained(gate, orders)
            change = DrainChange(rate=rate)
            await observed.controls.change(
                TOPOLOGY.orders, "drain.change", change.apply, Author(unique("operator"))
            )
        await drained(gate, 1500)
    holdings = await observed.holdings(["tv"])
    assert [change.rate for change in holdings.rate_changes] == [200, 500]
    limits = Limits(600, holdings.rate_changes)
    starts = [at for at, _ in holdings.commits]
    starts += [change.at + 1e-6 for change in holdings.rate_changes]
    for start in starts:
        seen = sum(count for at, count in holdings.commits if start <= at < start + 1)
        assert seen <= limits.highest_in_second(start)
