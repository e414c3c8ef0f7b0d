"""A step of the database's clock ends no hold early, and keeps none."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate
from flashsale.broker import open_broker, sale_topology
from flashsale.domain.controls import Controls
from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.order_ids import OrderId
from flashsale.domain.sales import Sale
from flashsale.domain.steady_clock import ClockReading
from flashsale.ledger import Cancellation, DrainLease, Due, Ledger, LedgerUnavailable, Sink
from flashsale.ledger.drain_port import BeforeCommit, at_once
from flashsale.observability.consumer_metrics import ConsumerMetrics
from tests.conftest import an_order
from tests.conftest import draining as sink_of
from tests.integration.consumer.one_drain import running

HOLD = 600
HOUR = 3600.0
TOPOLOGY = sale_topology("", max_length=10_000, queue_type="classic")


class SteppedLease:
    """A lease of a database whose clock is stepped."""

    def __init__(self, lease: DrainLease, steps: "SteppedLeases") -> None:
        self._lease = lease
        self._steps = steps

    @property
    def kept_rate(self) -> float | None:
        return self._lease.kept_rate

    @kept_rate.setter
    def kept_rate(self, rate: float | None) -> None:
        self._lease.kept_rate = rate

    @property
    def controls(self) -> Controls:
        return self._lease.controls

    @property
    def clock_reading(self) -> ClockReading | None:
        read = self._lease.clock_reading
        if read is None:
            return None
        return ClockReading(read.time + self._steps.step, read.asked_at, read.answered_at)

    def open_sink(self, before_commit: BeforeCommit = at_once) -> Sink:
        return self._lease.open_sink(before_commit)

    async def touch(self) -> None:
        if self._steps.loses:
            self._steps.loses = False
            raise LedgerUnavailable("the database has moved to another machine")
        await self._lease.touch()

    async def due(self, now: float, most: int) -> Due:
        due = await self._lease.due(now, most)
        self._steps.looks += 1
        return due


class SteppedLeases:
    """Leases of a database whose clock is `step` seconds ahead of what it was."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.step = 0.0
        self.looks = 0
        self.loses = False
        """Whether the session of the drain ends at its next look."""

    @asynccontextmanager
    async def hold_drain(self, name: str) -> AsyncIterator[SteppedLease]:
        async with self._ledger.hold_drain(name) as lease:
            yield SteppedLease(lease, self)


async def until(happened: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            found = happened()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


async def held(ledger: Ledger, *seconds: float) -> list[str]:
    """Hold an item for each of some orders, for so many seconds from now, grace included."""
    orders = [an_order(sku="tv") for _ in seconds]
    now = time.time()
    async with sink_of(ledger) as sink:
        for order, left in zip(orders, seconds, strict=True):
            await sink.sell([order], now - HOLD - GRACE_SECONDS + left)
    return [order.id for order in orders]


async def status(ledger: Ledger, order_id: str) -> str:
    [outcome] = (await ledger.find([OrderId(order_id)])).values()
    return str(outcome.status)


@asynccontextmanager
async def drain(leases: SteppedLeases) -> AsyncIterator[ReleaseGate]:
    async with open_broker("memory://", TOPOLOGY, 5) as broker:
        control, metrics = DrainControl(100), ConsumerMetrics()
        async with running(broker, TOPOLOGY, leases, control, metrics) as gate:
            await until(lambda: leases.looks > 0)
            yield gate


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_holds_end_after_their_own_time_though_the_clock_is_stepped(
    ledger: Ledger, step: float
) -> None:
    await ledger.create_sale(Sale("tv", 5, hold_seconds=HOLD))
    ends_at = time.monotonic() + 5.0
    short, long = await held(ledger, 5.0, HOLD)
    leases = SteppedLeases(ledger)
    with capture_logs() as logs:
        async with drain(leases) as gate:
            leases.step = step
            await until(lambda: abs(gate.clock.behind) > HOUR / 2)
            looks = leases.looks
            await until(lambda: leases.looks > looks + 3)
            if time.monotonic() < ends_at - 1:
                assert await status(ledger, short) == "held"

            async def ended() -> bool:
                return await status(ledger, short) == "expired"

            await until(ended)
            # At most 2 % too early or too late, and the drain looks four times a second.
            assert ends_at - 0.2 <= time.monotonic() <= ends_at + 3.0
            assert await status(ledger, long) == "held"
            assert abs(gate.clock.behind) > HOUR - 10
    assert [line["event"].split(":")[0] for line in logs if line["log_level"] == "warning"] == [
        "the clock of the database was stepped"
    ]


async def test_a_database_that_moves_to_a_machine_with_another_clock_ends_no_hold(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(Sale("tv", 5, hold_seconds=HOLD))
    [order_id] = await held(ledger, HOLD)
    leases = SteppedLeases(ledger)
    async with drain(leases) as gate:
        leases.step, leases.loses = HOUR, True
        await until(lambda: not leases.loses and gate.clock.behind > HOUR / 2)
        looks = leases.looks
        await until(lambda: leases.looks > looks + 3)
        assert await status(ledger, order_id) == "held"
        assert abs(gate.clock.now() - time.time()) < 5


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_a_drain_follows_a_step_as_soon_as_nothing_is_held(
    ledger: Ledger, step: float
) -> None:
    await ledger.create_sale(Sale("tv", 5, hold_seconds=HOLD))
    [order_id] = await held(ledger, HOLD)
    leases = SteppedLeases(ledger)
    async with drain(leases) as gate:
        leases.step = step
        await until(lambda: abs(gate.clock.behind) > HOUR / 2)
        assert abs(gate.clock.now() - time.time()) < 5
        await ledger.cancel(Cancellation(order_id), time.time())
        await until(lambda: gate.clock.behind == 0)
        assert gate.clock.now() - time.time() == pytest.approx(step, abs=1)


async def test_a_drain_without_holds_follows_a_step_within_a_moment(ledger: Ledger) -> None:
    leases = SteppedLeases(ledger)
    async with drain(leases) as gate:
        leases.step = HOUR
        await until(lambda: gate.clock.now() - time.time() > HOUR - 1)
        assert gate.clock.behind == 0
