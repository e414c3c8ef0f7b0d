"""A drain ends holds by its timer, serves who is next in line, and keeps its rate meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from flashsale.broker import open_broker, sale_topology
from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.holds.payments import Payment
from flashsale.domain.sales import Sale
from flashsale.ledger import Cancellation, Ledger, open_ledger
from flashsale.messages.announcements import BatchDecided, OrdersMoved, decode_announcement
from loadtest.measure.windows import most_in_window
from tests.conftest import an_order
from tests.conftest import draining as sink_of
from tests.database import rows
from tests.integration.consumer.one_drain import draining

HOLD = 60
TOPOLOGY = sale_topology("", max_length=10_000, queue_type="classic")


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await happened():
            await asyncio.sleep(0.02)


def ending_in(seconds: float) -> float:
    """When an order was held whose grace ends in so many seconds."""
    return time.time() - HOLD - GRACE_SECONDS + seconds


async def test_holds_that_end_at_once_go_to_the_next_in_line_inside_the_rate(
    ledger: Ledger, database_url: str
) -> None:
    number, rate = 300, 600
    await ledger.create_sale(Sale("tv", number, hold_seconds=HOLD, waitlist=number))
    async with sink_of(ledger) as sink:
        # The timer of the drain begins before, so that it wakes for them.
        held_at = ending_in(4.0)
        for batch in range(4):
            await sink.sell([an_order() for _ in range(number // 2)], held_at + batch / 1e3)
    over_at = held_at + HOLD + GRACE_SECONDS
    new = [an_order(accepted_at=time.time()) for _ in range(50)]
    async with (
        open_broker("memory://", TOPOLOGY, 5) as broker,
        draining(broker, TOPOLOGY, ledger, rate, new) as drain,
    ):

        async def served() -> bool:
            [sale] = await ledger.sales()
            return (sale.held, sale.waiting) == (number, 0)

        await until(served)
        assert drain.gate.log.max_in_one_second <= rate
    at = await rows(
        database_url,
        "SELECT decided_at, status FROM orders WHERE status = 'expired'"
        " OR (status = 'held' AND place IS NOT NULL)",
    )
    assert len(at) == 2 * number
    assert min(row.decided_at for row in at) >= over_at
    # Each of them is one change, so it takes a second, and less than that to notice.
    assert max(row.decided_at for row in at) <= over_at + 2 * number / rate + 1.0
    assert (await ledger.audit()).wrong == ()


async def test_no_second_of_commits_is_over_the_rate_while_holds_end(postgres_url: str) -> None:
    ((setting,),) = await rows(postgres_url, "SHOW track_commit_timestamp")
    if setting != "on":
        pytest.skip("this PostgreSQL does not track commit timestamps")
    number, rate = 600, 400
    async with open_ledger(postgres_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 2 * number, hold_seconds=HOLD))
        async with sink_of(ledger) as sink:
            await sink.sell([an_order() for _ in range(number)], ending_in(3.0))
        new = [an_order(accepted_at=time.time()) for _ in range(2 * number)]
        async with (
            open_broker("memory://", TOPOLOGY, 5) as broker,
            draining(broker, TOPOLOGY, ledger, rate, new) as drain,
        ):

            async def all_decided() -> bool:
                states = [str(o.status) for o in (await ledger.outcomes("tv")).values()]
                return len(states) == 3 * number and states.count("expired") == number

            await until(all_decided)
            assert drain.gate.log.max_in_one_second <= rate
        wrong = (await ledger.audit()).wrong
    # Each row was last written by its end or by its decision.
    commits = await rows(
        postgres_url,
        "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at, count(*) AS n"
        " FROM flashsale.orders GROUP BY xmin",
    )
    assert sum(row.n for row in commits) == 3 * number
    assert most_in_window(sorted((row.at, row.n) for row in commits), 1.0) <= rate
    assert wrong == ()


async def test_a_cancelled_hold_goes_to_the_next_in_line_though_no_order_arrives(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", 1, hold_seconds=HOLD, waitlist=2))
    first, second, third = (an_order(accepted_at=time.time()) for _ in range(3))
    async with (
        open_broker("memory://", TOPOLOGY, 5) as broker,
        broker.subscribe(TOPOLOGY.outcomes) as announcements,
        draining(broker, TOPOLOGY, ledger, 100, [first, second, third]) as drain,
    ):
        await drain.released(3)
        await until(lambda: is_state(ledger, third.id, "waitlisted"))
        await ledger.cancel(Cancellation(first.id), time.time())
        await until(lambda: is_state(ledger, second.id, "held"))
        # The last one held is paid, so nobody can be served any more.
        await ledger.take_payments([Payment(second.id, "p-1", "succeeded")], time.time())
        await until(lambda: is_state(ledger, third.id, "rejected"))
        told = [decode_announcement(a.body) for a in announcements.take(1_000)]
    moved = [d for a in told if isinstance(a, OrdersMoved) for d in a.decisions]
    assert [(d.id, d.status) for d in moved] == [(second.id, "held"), (third.id, "rejected")]
    assert moved[0].expires_at is not None
    decided = [d for a in told if isinstance(a, BatchDecided) for d in a.decisions]
    assert {d.status for d in decided} == {"held", "waitlisted"}
    assert (await ledger.audit()).wrong == ()


async def is_state(ledger: Ledger, order_id: str, state: str) -> bool:
    return any(o.status == state for i, o in (await ledger.outcomes("tv")).items() if i == order_id)


@pytest.mark.parametrize("rate", [1, 100])
async def test_a_customer_who_orders_again_and_again_keeps_one_hold_inside_the_rate(
    ledger: Ledger, rate: int
) -> None:
    await ledger.create_sale(Sale("tv", 5, hold_seconds=HOLD))
    number = 2 if rate == 1 else 30
    mine = [an_order(customer_id="me", accepted_at=time.time()) for _ in range(number)]
    async with (
        open_broker("memory://", TOPOLOGY, 5) as broker,
        draining(broker, TOPOLOGY, ledger, rate, mine) as drain,
    ):
        await until(lambda: is_state(ledger, mine[-1].id, "held"))
        assert drain.gate.log.max_in_one_second <= rate
    [sale] = await ledger.sales()
    assert sale.held == 1
    assert (await ledger.audit()).wrong == ()
