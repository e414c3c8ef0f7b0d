"""The gate holds orders back until commits are seen, and measures the rate of its releases."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate, ReleaseLog


@pytest.fixture
def gate() -> Iterator[ReleaseGate]:
    gate = ReleaseGate(DrainControl(10, 10))
    yield gate
    gate.close()


async def test_release_gate_holds_orders_back_until_a_second_after_the_commit_is_seen(
    gate: ReleaseGate,
) -> None:
    assert gate.release(10) == 10
    waiting = asyncio.create_task(gate.wait_open())
    while gate._wait is None:
        await asyncio.sleep(0)
    assert gate.release(1) == 0
    committed_at = time.monotonic()
    gate.committed()
    await waiting
    assert time.monotonic() - committed_at > 1.0
    assert gate.release(1) == 1


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 50)), min_size=1, max_size=60))
def test_release_log_finds_the_fullest_second(gaps: list[tuple[float, int]]) -> None:
    log, at, releases = ReleaseLog(), 0.0, []
    for gap, count in gaps:
        at += gap
        releases.append((at, count))
        log.add(at, count)
    by_hand = max(sum(n for t, n in releases if end - 1 < t <= end) for end, _ in releases)
    assert log.max_in_one_second == by_hand
    assert log.total == sum(count for _, count in releases)
