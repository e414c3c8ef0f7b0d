"""The pace of attempts: never over the rate by the receiver's clock, and hardly ever under it."""

import heapq
import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.delivery.attempt_pace import AttemptPace


@dataclass(frozen=True)
class Sent:
    """An attempt: the receiver may see it at any moment from its start to its answer."""

    began: float
    ended: float


def run(
    pace: AttemptPace,
    seconds: Callable[[], float],
    until: float,
    *,
    wanted: Callable[[], int] = lambda: 1,
    late: Callable[[], float] = lambda: 0.0,
    changes: Sequence[tuple[float, int]] = (),
) -> list[Sent]:
    """Attempt a backlog, each for so many seconds, until then. A loop may wake up late."""
    now, sent, due = 0.0, list[Sent](), list(changes)
    in_flight: list[float] = []
    while True:
        while in_flight and in_flight[0] <= now:
            pace.end(heapq.heappop(in_flight))
        while due and due[0][0] <= now:
            pace.change(due.pop(0)[1], now)
        if now >= until:
            return sent
        for _ in range(pace.begin(now, wanted())):
            sent.append(Sent(now, now + seconds()))
            heapq.heappush(in_flight, sent[-1].ended)
        ready = now + max(pace.delay(now), 1e-6) + late()
        now = min(
            ready,
            in_flight[0] if in_flight else math.inf,
            due[0][0] if due else math.inf,
        )
        now = min(now, until)


def most_seen(sent: Sequence[Sent], since: float = -math.inf) -> int:
    """The most that can be seen in a closed window of a second, if arrivals are the worst ones.

    Windows begin at `since` or later. An attempt may be seen in a window if any moment of it is in
    there, so the windows that begin with the last moment of an attempt are the worst.
    """
    began = sorted(each.began for each in sent)
    ended = sorted(each.ended for each in sent)
    starts = [at for at in ended if at > since] + [math.nextafter(since, math.inf)]
    return max(bisect_right(began, at + 1) - bisect_left(ended, at) for at in starts)


randoms = st.integers(0, 2**32).map(random.Random)


@st.composite
def paces(draw: st.DrawFn) -> AttemptPace:
    rate = draw(st.integers(1, 300))
    batch = draw(st.integers(1, rate))
    return AttemptPace(rate, batch, draw(st.integers(1, batch)))


@given(paces(), randoms, st.sampled_from([0.0, 0.003, 0.2, 1.5]), st.sampled_from([0.0, 0.01, 0.7]))
def test_no_second_of_the_receiver_has_more_than_the_rate_whenever_it_sees_each_attempt(
    pace: AttemptPace, rng: random.Random, longest: float, latest: float
) -> None:
    sent = run(
        pace,
        lambda: rng.choice([rng.uniform(0, longest), longest]),
        until=4.0,
        wanted=lambda: rng.randint(1, 2 * pace.batch),
        late=lambda: rng.choice([0.0, rng.uniform(0, latest)]),
    )
    assert 0 < most_seen(sent) <= pace.rate


@given(paces(), randoms, st.sampled_from([0.0, 0.05, 0.5]))
def test_in_100_ms_at_most_a_tenth_of_the_rate_and_one_batch_begin(
    pace: AttemptPace, rng: random.Random, longest: float
) -> None:
    sent = run(
        pace,
        lambda: rng.uniform(0, longest),
        until=3.0,
        wanted=lambda: rng.randint(1, pace.batch),
        late=lambda: rng.choices([0.0, rng.uniform(0, 0.2)], [0.9, 0.1])[0],
    )
    began = [each.began for each in sent]
    most = max(bisect_right(began, at + 0.1) - bisect_left(began, at) for at in began)
    assert most <= pace.rate / 10 + pace.batch


@pytest.mark.parametrize(
    ("rate", "batch"), [(1, 1), (10, 1), (40, 7), (2000, 10), (2000, 50), (10_000, 50)]
)
def test_a_backlog_uses_97_percent_of_the_rate_if_answers_are_short(rate: int, batch: int) -> None:
    pace, rng = AttemptPace(rate, batch), random.Random(1)
    sent = run(
        pace,
        lambda: rng.uniform(0.001, 0.02),
        until=6.0,
        wanted=lambda: batch,
        late=lambda: rng.uniform(0, 0.001),
    )
    steady = [each for each in sent if each.began >= 1]
    assert 0.97 * rate * 5 - batch <= len(steady) <= rate * 5 + batch


def test_a_step_begins_on_time_and_more_after_a_late_wake_up() -> None:
    pace = AttemptPace(1000, 25, 5)
    assert pace.begin(0.0, 5) == 5
    assert pace.begin(0.003, 5) == 0
    assert pace.begin(0.2, 100) == 25
    assert pace.begin(0.219, 100) == 5
    assert pace.begin(0.233, 100) == 15


def test_small_steps_use_more_of_the_rate_if_attempts_wait_for_each_other() -> None:
    def used(step: int) -> int:
        free_at = 0.0

        def in_line(now: float) -> float:
            nonlocal free_at
            free_at = max(free_at, now) + 0.0003
            return free_at

        pace, now, ends, begun = AttemptPace(2000, 50, step), 0.0, list[float](), 0
        while now < 20.5:
            while ends and ends[0] <= now:
                pace.end(heapq.heappop(ends))
            for _ in range(pace.begin(now, 100)):
                heapq.heappush(ends, in_line(now))
                begun += 1
            now = min(now + max(pace.delay(now, 100), 1e-6), ends[0] if ends else math.inf)
        return begun

    assert used(10) > 20.5 * 2000 * 0.99 > used(50)


@given(paces(), randoms, st.integers(1, 300), st.sampled_from([0.0, 0.02, 0.8]))
def test_a_changed_rate_holds_at_once(
    pace: AttemptPace, rng: random.Random, rate: int, longest: float
) -> None:
    before, at = pace.rate, 1.7
    sent = run(pace, lambda: rng.uniform(0, longest), 4.0, changes=[(at, rate)])
    in_flight = sum(each.began < at < each.ended for each in sent)
    assert most_seen(sent, since=at) <= max(rate, in_flight)
    assert most_seen(sent) <= max(before, rate)


def test_a_raise_is_used_at_once() -> None:
    pace = AttemptPace(1)
    assert pace.begin(0.0) == 1
    pace.end(0.01)
    assert pace.delay(0.1) > 0.8
    pace.change(100, 0.1)
    assert pace.delay(0.1) == 0.0


def test_what_does_not_end_is_waited_for() -> None:
    pace = AttemptPace(2, 2)
    assert pace.begin(0.0, 2) == 2
    assert pace.delay(60.0) == math.inf
    pace.end(60.0)
    assert pace.in_flight == 1
    assert pace.delay(60.0) == pytest.approx(1.0, abs=0.001)
    assert pace.begin(61.0) == 0  # a closed second still has the one that has ended
    assert pace.begin(60.0 + pace.delay(60.0), 2) == 1
    assert pace.in_flight == 2


def test_the_check_catches_a_pace_that_forgets_attempts_when_they_begin() -> None:
    class ByStarts(AttemptPace):
        def begin(self, now: float, wanted: int = 1) -> int:
            count = super().begin(now, wanted)
            super().end(now, count)
            return count

        def end(self, now: float, count: int = 1) -> None:
            pass

    rng = random.Random(1)
    sent = run(ByStarts(100, 5), lambda: rng.choice([0.0, 0.3]), 4.0)
    assert most_seen(sent) > 100


@pytest.mark.parametrize(("rate", "batch"), [(0, 1), (10, 0), (10, 11)])
def test_an_impossible_pace_is_refused(rate: int, batch: int) -> None:
    with pytest.raises(ValueError, match="need rate"):
        AttemptPace(rate, batch)
    with pytest.raises(ValueError, match="need rate"):
        AttemptPace(100, 100).change(rate, 0.0, batch)
    with pytest.raises(ValueError, match="need 1 <= step"):
        AttemptPace(10, 5, 6)
