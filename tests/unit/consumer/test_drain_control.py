"""The limits of the drain follow its rate, while it runs."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate
from flashsale.domain.controls import Controls


@pytest.mark.parametrize(
    ("rate", "largest", "batch", "prefetch"),
    [
        (2000, None, 50, 200),
        (40, None, 1, 4),
        (100, 500, 100, 400),
        (1_000_000, 30_000, 30_000, 65_535),
    ],
)
def test_drain_control_derives_batch_and_prefetch_from_the_rate(
    rate: int, largest: int | None, batch: int, prefetch: int
) -> None:
    control = DrainControl(1, largest)
    control.change(rate)
    assert (control.rate, control.batch, control.prefetch) == (rate, batch, prefetch)


def test_drain_control_calls_its_listeners_after_a_change() -> None:
    control = DrainControl(2000)
    seen: list[int] = []
    control.on_change(lambda: seen.append(control.rate))
    control.change(10)
    control.change(20)
    assert seen == [10, 20]


def test_an_adaptive_rate_is_within_the_cap_and_has_smaller_batches() -> None:
    control = DrainControl(2000, 200)
    assert (control.rate, control.batch, control.prefetch, control.reason) == (2000, 200, 800, None)
    control.adapt(500.9, "slow")
    assert (control.cap, control.rate, control.batch, control.reason) == (2000, 500, 50, "slow")
    assert control.prefetch == 800, "another prefetch needs another consumer"
    control.adapt(3.0, "slow")
    assert (control.rate, control.batch) == (200, 20)
    control.adapt(None, "cap")
    assert (control.rate, control.batch) == (2000, 200)


def test_the_cap_of_an_operator_holds_for_an_adaptive_rate_too() -> None:
    control = DrainControl(2000)
    seen: list[int] = []
    control.on_change(lambda: seen.append(control.rate))
    control.adapt(600.0, "slow")
    control.adapt(600.4, "recovering")
    assert control.follow(Controls(rate=500))
    assert not control.follow(Controls(rate=500))
    assert control.follow(Controls())
    assert seen == [600, 500, 600]


@pytest.fixture
def control() -> DrainControl:
    return DrainControl(1)


@pytest.fixture
def gate(control: DrainControl) -> Iterator[ReleaseGate]:
    gate = ReleaseGate(control)
    yield gate
    gate.close()


async def test_a_higher_rate_wakes_a_waiting_release_gate(
    control: DrainControl, gate: ReleaseGate
) -> None:
    assert gate.release(1) == 1
    waiting = asyncio.create_task(gate.wait_open(1))
    while gate._wait is None:
        await asyncio.sleep(0)
    before = time.monotonic()
    control.change(100_000)
    await waiting
    assert time.monotonic() - before < 0.9, "it slept until the old rate would have let it go"
    assert gate.release(1000) > 1


async def test_a_lower_rate_holds_for_later_releases(
    control: DrainControl, gate: ReleaseGate
) -> None:
    control.change(100_000)
    assert gate.release(10_000) == 2500
    gate.committed()
    control.change(3)
    released: list[float] = []
    while len(released) < 5:
        await gate.wait_open()
        released += [time.monotonic()] * gate.release(1000)
        gate.committed()
    assert all(later - earlier > 1 for earlier, later in zip(released, released[3:], strict=False))


def test_a_receiver_that_fails_limits_the_rate_and_not_the_prefetch() -> None:
    control = DrainControl(2000)
    control.limit_by_receiver(1)
    assert (control.rate, control.batch, control.cap, control.reason) == (1, 1, 2000, "receiver")
    assert control.prefetch == 200
    control.limit_by_receiver(None)
    assert (control.rate, control.batch, control.reason) == (2000, 50, None)


def test_a_late_drain_may_take_more_batches_but_not_more_than_the_rate() -> None:
    assert DrainControl(2000).batch_when_late == 50
    assert DrainControl(2000, batches_when_late=2).batch_when_late == 100
    assert DrainControl(1, batches_when_late=2).batch_when_late == 1
