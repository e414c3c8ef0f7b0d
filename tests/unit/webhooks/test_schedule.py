"""When a delivery is tried again, when an endpoint is paused, and how slots are shared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.webhooks.schedule import (
    FAILURES_BEFORE_PAUSE,
    LONGEST_FAILING_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    RETRY_SECONDS,
    Health,
    retry_at,
    shares,
)

LUCK = st.floats(0, 1)
MOMENTS = st.floats(1e9, 2e9)


def test_a_delivery_is_tried_for_more_than_a_day() -> None:
    assert RETRY_SECONDS == (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
    assert [retry_at(n, 0.0, 0.0) for n in range(1, 9)] == [*RETRY_SECONDS, None]


@given(st.integers(1, 7), MOMENTS, LUCK)
def test_jitter_makes_a_pause_longer_by_a_tenth_at_most(
    failures: int, now: float, luck: float
) -> None:
    again = retry_at(failures, now, luck)
    assert again is not None
    pause = RETRY_SECONDS[failures - 1]
    assert pause - 1e-3 <= again - now <= 1.1 * pause + 1e-3


@given(st.integers(1, 9), LUCK, st.floats(0, 1e9))
def test_retry_after_makes_a_pause_longer_up_to_an_hour_and_saves_no_delivery(
    failures: int, luck: float, asked: float
) -> None:
    without, given_ = retry_at(failures, 0.0, luck), retry_at(failures, 0.0, luck, asked)
    if without is None:
        assert given_ is None
    else:
        assert given_ == max(without, min(asked, LONGEST_RETRY_AFTER_SECONDS))


def test_an_endpoint_is_paused_after_five_failures_for_longer_each_time() -> None:
    health, now, pauses = Health(), 1_000.0, []
    for _ in range(FAILURES_BEFORE_PAUSE + 8):
        now += 1_000
        health = health.after_failure(now - 1, now)
        pauses.append(0 if health.paused_until is None else health.paused_until - now)
    assert pauses == [0, 0, 0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert health.failing_since == 2_000.0


def test_failures_of_attempts_that_were_under_way_together_count_once() -> None:
    health = Health().after_failure(began_at=10.0, now=25.0)
    for _ in range(20):
        health = health.after_failure(began_at=24.0, now=26.0)
    assert health.failures == 1
    assert health.after_failure(began_at=25.5, now=27.0).failures == 2


def test_a_success_ends_the_pause_unless_it_is_older_than_the_failure() -> None:
    failed = Health().after_failure(began_at=10.0, now=20.0, pause_until=50.0)
    assert failed.paused_until == 50.0
    assert failed.after_success(began_at=15.0) == failed
    assert failed.after_success(began_at=21.0) == Health()


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=60))
def test_an_endpoint_that_answers_is_never_paused_for_its_past(
    history: list[tuple[bool, float]],
) -> None:
    health, now = Health(), 0.0
    for succeeded, seconds in history:
        began, now = now, now + seconds + 0.1
        health = (
            health.after_success(began + 0.05)
            if succeeded
            else health.after_failure(began + 0.05, now)
        )
        if succeeded:
            assert health == Health()
        if health.paused_until is not None:
            assert health.failures >= FAILURES_BEFORE_PAUSE
            assert health.paused_until - now <= 300


def test_an_endpoint_is_not_given_up_before_one_delivery_would_be() -> None:
    assert sum(RETRY_SECONDS) * 1.1 < LONGEST_FAILING_SECONDS < 2 * 86_400


ENDPOINTS = st.sampled_from("abcdef")


@given(
    st.dictionaries(ENDPOINTS, st.integers(0, 8)),
    st.dictionaries(ENDPOINTS, st.integers(0, 8)),
    st.integers(0, 5),
    st.integers(1, 40),
)
def test_slots_are_shared_so_that_each_endpoint_keeps_one(
    due: dict[str, int], in_flight: dict[str, int], waiting: int, total: int
) -> None:
    given_ = shares(due, in_flight, waiting, total)
    free = max(total - sum(in_flight.values()), 0)
    assert sum(given_.values()) <= free
    assert all(0 < count <= due[endpoint] for endpoint, count in given_.items())
    fresh = [each for each, most in due.items() if most and not in_flight.get(each)]
    if free >= len(fresh):
        assert all(given_.get(each, 0) >= 1 for each in fresh)
    beyond_the_first = sum(given_.values()) - sum(each in given_ for each in fresh)
    if beyond_the_first:
        assert free - sum(given_.values()) >= waiting, "slots of those that wait are kept"
    if free > waiting + sum(due.values()):
        assert given_ == {each: most for each, most in due.items() if most}


def test_slow_endpoints_leave_a_slot_to_each_other_one() -> None:
    busy = {f"slow-{n}": 8 for n in range(7)}
    # 64 slots, 56 taken, and three endpoints have nothing in flight.
    assert shares({"slow-0": 8}, busy, waiting=3, total=64) == {"slow-0": 5}
    assert shares({"slow-0": 8, "fast": 8}, busy, waiting=7, total=64) == {"fast": 1}


@pytest.mark.parametrize("total", [0, 1])
def test_without_a_free_slot_nothing_begins(total: int) -> None:
    busy: dict[str, Any] = {"a": 1}
    assert shares({"a": 1, "b": 1}, busy, waiting=0, total=total) == {}
