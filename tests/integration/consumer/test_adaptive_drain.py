"""The rate of a drain follows the speed of a real database, which a slow link slows down."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from consumer.adaptive_pace import AdaptivePace
from consumer.drain_control import DrainControl, LimitReason
from consumer.release_gate import ReleaseGate
from flashsale.broker import Broker, open_broker, sale_topology
from flashsale.domain.sales import Sale
from flashsale.ledger import DrainLease, Leases, Ledger, open_ledger
from flashsale.messages.orders import encode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics
from loadtest.measure.windows import most_in_window
from tests.conftest import an_order
from tests.database import connected, execute, rows
from tests.faults.proxy import Proxy, proxy
from tests.integration.consumer.one_drain import running

TOPOLOGY = sale_topology("", max_length=100_000, queue_type="classic")
RATE = 200
BATCH = 10
# The statements of a batch, measured in bytes: the link takes as long as they are.
BYTES_OF_BATCH = 2_800


class SeenPace(AdaptivePace):
    """Another pace, which also writes down how long each transaction took."""

    def __init__(self, target: float, control: DrainControl, metrics: ConsumerMetrics) -> None:
        super().__init__(target, control, metrics)
        self.transactions: list[tuple[float, float]] = []

    def committed(self, seconds: float, orders: int) -> None:
        self.transactions.append((time.monotonic(), seconds))
        super().committed(seconds, orders)

    def p90(self, start: float, end: float) -> float:
        seen = sorted(seconds for at, seconds in self.transactions if start <= at < end)
        return seen[math.ceil(0.9 * len(seen)) - 1] if seen else 0.0

    def latest_p90(self) -> float:
        """The p90 of the last second, or of the last ten if that had fewer."""
        now = time.monotonic()
        began = self.transactions[-10][0] if len(self.transactions) >= 10 else 0.0
        return self.p90(min(began, now - 1), now)


@dataclass
class Drain:
    """A drain that is running, and what it was allowed over time."""

    control: DrainControl
    gate: ReleaseGate
    pace: SeenPace
    metrics: ConsumerMetrics
    rates: list[tuple[float, int, LimitReason | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.control.on_change(self._changed)

    def _changed(self) -> None:
        self.rates.append((time.monotonic(), self.control.rate, self.control.reason))

    @property
    def retries(self) -> float:
        return self.metrics.registry.get_sample_value("flashsale_ledger_retries_total") or 0.0

    async def more(self, transactions: int) -> None:
        """Wait for more than so many further transactions."""
        seen = len(self.pace.transactions)
        await self.until(lambda: len(self.pace.transactions) > seen + transactions, 60)

    async def until(self, condition: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def queued(orders: int) -> AsyncIterator[Broker]:
    """A queue with that many orders."""
    async with open_broker("memory://", TOPOLOGY, 5) as broker:
        for order in [an_order(accepted_at=time.time()) for _ in range(orders)]:
            body = encode_order(order)
            await broker.publish(TOPOLOGY.orders, "order", body, message_id=order.id)
        yield broker


@asynccontextmanager
async def draining(
    broker: Broker, leases: Leases[DrainLease], target: float
) -> AsyncIterator[Drain]:
    """Drain the queue until the end of the block."""
    control, metrics = DrainControl(RATE, BATCH), ConsumerMetrics()
    pace = SeenPace(target, control, metrics)
    async with running(broker, TOPOLOGY, leases, control, metrics, pace) as gate:
        drain = Drain(control, gate, pace, metrics)
        await drain.until(lambda: gate.log.total > 0, 20)
        yield drain


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[tuple[Proxy, Ledger]]:
    """A ledger behind a link that takes its time for each byte."""
    port = int(re.findall(r":(\d+)/", url)[0])
    async with (
        proxy(lambda: port) as link,
        open_ledger(url.replace(f":{port}/", f":{link.port}/")) as ledger,
    ):
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1_000_000))
        yield link, ledger


def take(link: Proxy, seconds: float) -> None:
    """Have the link take so many seconds for a full batch, and fewer for a smaller one."""
    link.there.limit = BYTES_OF_BATCH / seconds


async def usual_p90(broker: Broker, ledger: Ledger) -> float:
    """Measure the transactions on this machine while nothing slows them down."""
    async with draining(broker, ledger, target=60.0) as drain:
        began = time.monotonic()
        await drain.until(lambda: len(drain.pace.transactions) > 40, 60)
        return drain.pace.p90(began, time.monotonic())


async def test_a_database_three_times_slower_gets_fewer_orders_until_it_is_fast_again(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Long transactions, as other work on this machine makes any of them some 50 ms longer.
    usual, target = 0.2, 0.36
    async with linked(postgres_url) as (link, ledger), queued(20_000) as broker:
        take(link, usual)
        async with draining(broker, ledger, target) as drain:
            await drain.until(lambda: len(drain.pace.transactions) > 10, 60)
            take(link, 3 * usual)
            slow_at = time.monotonic()
            await drain.until(lambda: drain.pace.latest_p90() > 1.5 * target, 60)
            await drain.until(lambda: drain.pace.latest_p90() <= 1.5 * target, 60)
            fell = time.monotonic() - slow_at
            lowest = drain.control.rate
            take(link, usual)
            healed_at = time.monotonic()
            await drain.until(lambda: drain.control.rate >= 0.95 * RATE, 120)
            recovered = time.monotonic() - healed_at
        commits = (await ledger.holdings(["tv"])).commits
    with capsys.disabled():
        print(
            f"\nthree times slower: p90 within 1.5 of the target after {fell:.1f} s at {lowest} of"
            f" {RATE} orders/s; 95 % again {recovered:.1f} s after it was healed"
        )
    assert commits or await rows(postgres_url, "SHOW track_commit_timestamp") == [("off",)]
    assert lowest < RATE
    assert drain.gate.log.max_in_one_second <= RATE
    assert most_in_window(commits, 1.0) <= RATE


async def test_a_link_that_stands_still_for_a_second_costs_at_most_half(postgres_url: str) -> None:
    async with linked(postgres_url) as (link, ledger), queued(5_000) as broker:
        target = 6 * await usual_p90(broker, ledger)
        async with draining(broker, ledger, target) as drain:
            await drain.more(20)
            # Between two transactions a look at the controls waits, which counts for nothing.
            while max(seconds for _, seconds in drain.pace.transactions) < 0.9:
                link.silence()
                await asyncio.sleep(1)
                link.heal()
                await drain.more(40)
    assert min(rate for _, rate, _ in drain.rates or [(0, RATE, None)]) >= RATE / 2


async def test_a_row_that_is_locked_for_a_second_costs_half_and_a_successor_goes_on_with_it(
    postgres_url: str,
) -> None:
    # So that the stall fails one transaction after the other.
    name = postgres_url.rpartition("/")[2]
    await execute(postgres_url, f"ALTER DATABASE \"{name}\" SET lock_timeout = '50ms'")
    async with open_ledger(postgres_url) as ledger, queued(5_000) as broker:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1_000_000))
        async with draining(broker, ledger, target=30.0) as drain:
            async with connected(postgres_url) as session:
                await session.execute(text("SELECT 1 FROM sales FOR UPDATE"))
                await drain.until(lambda: drain.retries >= 3, 30)
            # The batch after the decision writes it.
            await drain.more(2)
        assert drain.rates[0][1:] == (RATE // 2, "busy")
        async with draining(broker, ledger, target=30.0) as successor:
            assert successor.control.rate >= RATE // 2
            assert successor.control.rate < RATE
            assert successor.control.reason == "inherited"
