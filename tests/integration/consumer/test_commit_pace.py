"""No second has more orders than the rate, by PostgreSQL's own record of its commits."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flashsale.audit.rules.limits import Limits
from flashsale.broker import open_broker, sale_topology
from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import DrainChange
from flashsale.domain.sales import Sale
from flashsale.ledger import Ledger, open_ledger
from loadtest.measure.windows import most_in_window
from tests.conftest import an_order, unique
from tests.database import rows
from tests.integration.consumer.one_drain import Drain, draining

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
async def backlog(ledger: Ledger, rate: int, orders: int) -> AsyncIterator[Drain]:
    """Drain so many orders at that rate until the end of the block."""
    waiting = [an_order(accepted_at=time.time()) for _ in range(orders)]
    async with (
        open_broker("memory://", TOPOLOGY, 5) as broker,
        draining(broker, TOPOLOGY, ledger, rate, waiting) as drain,
    ):
        yield drain


async def test_no_second_of_commits_is_over_the_rate(observed: Ledger) -> None:
    async with backlog(observed, rate=500, orders=2500) as drain:
        await drain.released(2500)
    commits = (await observed.holdings(["tv"])).commits
    assert sum(count for _, count in commits) == 2500
    assert most_in_window(commits, 1.0) <= 500


async def test_after_a_lowering_each_second_of_commits_is_within_the_new_rate(
    observed: Ledger,
) -> None:
    async with backlog(observed, rate=600, orders=2000) as drain:
        for orders, rate in ((700, 200), (1000, 500)):
            await drain.released(orders)
            change = DrainChange(rate=rate)
            await observed.controls.change(
                TOPOLOGY.orders, "drain.change", change.apply, Author(unique("operator"))
            )
        await drain.released(1500)
    holdings = await observed.holdings(["tv"])
    assert [change.rate for change in holdings.rate_changes] == [200, 500]
    limits = Limits(600, holdings.rate_changes)
    starts = [at for at, _ in holdings.commits]
    starts += [change.at + 1e-6 for change in holdings.rate_changes]
    for start in starts:
        seen = sum(count for at, count in holdings.commits if start <= at < start + 1)
        assert seen <= limits.highest_in_second(start)
