"""The modelled database: what it bears, how it falls over, and how it comes back."""

import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.receiver.saturated_database import (
    Ended,
    Limits,
    SaturatedDatabase,
    connections_for,
)

CAPACITY = 2_000


def evenly(rate: float, begin: float, end: float) -> list[float]:
    return [begin + number / rate for number in range(round(rate * (end - begin)))]


def played(moments: list[float], limits: Limits, seed: int = 1) -> list[Ended[float]]:
    """Send a query at each moment; the query is that moment."""
    database: SaturatedDatabase[float] = SaturatedDatabase(limits, random.Random(seed))
    ended = []
    for moment in moments:
        ended += database.advance(moment)
        database.arrive(moment, moment)
    ended += database.advance(moments[-1] + 1_000)
    assert database.next_end is None
    return ended


def done_per_second(ended: list[Ended[float]], begin: float, end: float) -> float:
    return sum(each.done and begin <= each.at < end for each in ended) / (end - begin)


@pytest.mark.parametrize("rate", [50, 1_000, CAPACITY])
def test_a_database_within_its_capacity_does_every_query_at_once(rate: float) -> None:
    ended = played(evenly(rate, 0, 10), Limits(CAPACITY))
    assert all(each.done for each in ended)
    assert max(each.at - each.query for each in ended) < 0.05


def test_a_database_over_its_capacity_does_less_the_more_arrives() -> None:
    done = [
        done_per_second(played(evenly(rate, 0, 10), Limits(CAPACITY)), 2, 10)
        for rate in (CAPACITY, 1.25 * CAPACITY, 1.5 * CAPACITY, 2.5 * CAPACITY)
    ]
    assert done == sorted(done, reverse=True)
    assert done[0] >= CAPACITY
    assert done[1] < 0.5 * CAPACITY
    assert done[3] < 0.25 * CAPACITY


def test_a_query_over_the_capacity_waits_as_long_as_it_can_and_mostly_for_nothing() -> None:
    ended = played(evenly(2.5 * CAPACITY, 0, 10), Limits(CAPACITY, patience=1))
    late = [each for each in ended if each.query > 2]
    failed = [each for each in late if not each.done]
    assert len(failed) > 0.8 * len(late)
    assert all(each.at - each.query == pytest.approx(1) for each in failed)
    assert median(each.at - each.query for each in late if each.done) > 1


def test_a_database_recovers_within_its_patience_when_the_load_goes() -> None:
    flood, calm = evenly(2.5 * CAPACITY, 0, 5), evenly(50, 5, 10)
    ended = played(flood + calm, Limits(CAPACITY, patience=1))
    after = [each for each in ended if each.query >= 6.2]
    assert after
    assert all(each.done for each in after)
    assert max(each.at - each.query for each in after) < 0.05


def test_without_contention_only_the_queue_is_lost() -> None:
    ended = played(evenly(2.5 * CAPACITY, 0, 10), Limits(CAPACITY, contention=0))
    assert done_per_second(ended, 2, 10) == pytest.approx(1.1 * CAPACITY, rel=0.02)


def test_the_same_seed_plays_the_same_again_and_another_one_does_not() -> None:
    moments = evenly(3_000, 0, 1)
    assert played(moments, Limits()) == played(moments, Limits())
    assert played(moments, Limits()) != played(moments, Limits(), seed=2)


def test_a_model_that_is_told_the_time_late_ends_each_query_at_its_moment() -> None:
    ends: list[list[Ended[int]]] = []
    for steps in (1, 1_000):
        database: SaturatedDatabase[int] = SaturatedDatabase(Limits(100), random.Random(1))
        for number in range(200):
            database.arrive(number, 0.0)
        ends.append([e for at in range(1, steps + 1) for e in database.advance(3 * at / steps)])
    assert ends[0] == ends[1]
    assert {each.done for each in ends[0]} == {True, False}


@given(
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
    connections=st.integers(1, 5),
    capacity=st.floats(1, 100),
)
def test_every_query_ends_once_and_never_more_run_than_there_are_connections(
    gaps: list[float], connections: int, capacity: float
) -> None:
    limits = Limits(capacity, connections)
    database: SaturatedDatabase[int] = SaturatedDatabase(limits, random.Random(1))
    now, ended = 0.0, []
    for number, gap in enumerate(gaps):
        now += gap
        ended += database.advance(now)
        database.arrive(number, now)
        assert database.running <= connections
        assert not database.waiting or database.running == connections
    ended += database.advance(now + 1e9)
    assert sorted(each.query for each in ended) == list(range(len(gaps)))
    assert [each.at for each in ended] == sorted(each.at for each in ended)


@pytest.mark.parametrize(
    "limits", [{"capacity": 0}, {"connections": 0}, {"contention": -1}, {"patience": 0}]
)
def test_limits_that_no_database_has_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("capacity", [10, 200, CAPACITY, 20_000])
def test_a_smaller_database_has_fewer_connections_and_falls_over_alike(capacity: float) -> None:
    limits = Limits(capacity, connections_for(capacity))
    within = played(evenly(capacity, 0, 3), limits)
    assert all(each.done for each in within)
    over = played(evenly(2.5 * capacity, 0, 5), limits)
    assert done_per_second(over, 2, 5) < 0.3 * capacity
