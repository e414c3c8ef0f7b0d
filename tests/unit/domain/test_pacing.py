"""The pace: never over the rate in any second, and hardly ever under it."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.pacing import Pacer, batch_of

Releases = list[tuple[float, int]]


def most_in(releases: Releases, seconds: float) -> int:
    """The most orders in any closed window of that length, by trying every one."""
    most = total = first = 0
    for at, count in releases:
        total += count
        while releases[first][0] < at - seconds:
            total -= releases[first][1]
            first += 1
        most = max(most, total)
    return most


def run(
    pacer: Pacer, wanted: Callable[[], int], stall: Callable[[], float], steps: int
) -> Releases:
    """Release as the drain does: wait as long as the pacer says, be late, take what it gives."""
    releases: Releases = []
    now = 1000.0
    for _ in range(steps):
        now += pacer.delay(now) + stall()
        count = pacer.take(now, wanted())
        if count:
            releases.append((now, count))
    return releases


randoms = st.integers(0, 2**32).map(random.Random)
rates = st.one_of(st.integers(1, 100), st.integers(1, 100_000))


@st.composite
def pacers(draw: st.DrawFn) -> Pacer:
    rate = draw(rates)
    return Pacer(rate, draw(st.integers(1, rate)))


@given(pacers(), randoms, st.sampled_from([0.0, 0.001, 0.05, 0.7, 3.0]))
def test_no_second_is_over_the_rate_whatever_batches_come_and_however_the_clock_stalls(
    pacer: Pacer, rng: random.Random, longest_stall: float
) -> None:
    releases = run(
        pacer,
        wanted=lambda: rng.randint(1, 2 * pacer.batch),
        stall=lambda: rng.choice([0.0, rng.uniform(0, longest_stall)]),
        steps=400,
    )
    assert most_in(releases, 1.0) <= pacer.rate


@given(pacers(), randoms, st.sampled_from([0.0, 0.01, 0.3]))
def test_no_tenth_of_a_second_is_over_a_tenth_of_the_rate_and_one_batch(
    pacer: Pacer, rng: random.Random, longest_stall: float
) -> None:
    releases = run(
        pacer,
        wanted=lambda: rng.randint(1, pacer.batch),
        stall=lambda: rng.uniform(0, longest_stall),
        steps=400,
    )
    assert most_in(releases, 0.1) <= pacer.rate / 10 + pacer.batch


@given(pacers(), randoms)
def test_what_has_to_go_at_once_waits_until_all_of_it_may(pacer: Pacer, rng: random.Random) -> None:
    releases: Releases = []
    now = 1000.0
    for _ in range(100):
        wanted = rng.randint(1, pacer.most_at_once)
        now += pacer.delay(now, wanted)
        assert pacer.begin(now, wanted, pacer.most_at_once) == wanted
        pacer.committed(now)
        releases.append((now, wanted))
        now += rng.choice([0.0, rng.uniform(0, 0.3)])
    assert most_in(releases, 1.0) <= pacer.rate
    assert most_in(releases, 0.1) <= pacer.rate / 10 + pacer.batch


@given(pacers(), randoms)
def test_a_backlog_uses_99_percent_of_the_rate(pacer: Pacer, rng: random.Random) -> None:
    # Trickle first: odd batches leave odd gaps, and a backlog must fill them all the same.
    trickle = run(pacer, lambda: rng.randint(1, pacer.batch), lambda: rng.uniform(0, 0.01), 50)
    now = trickle[-1][0]
    releases: Releases = []
    for _ in range(600):
        now += pacer.delay(now)
        if count := pacer.take(now, pacer.batch):
            releases.append((now, count))
    # The first second makes up for the trickle before it; the steady state is what counts.
    start = releases[0][0] + 1
    steady = [(at, count) for at, count in releases if at > start]
    if len(steady) > 100:
        seconds = steady[-1][0] - steady[0][0]
        assert sum(count for _, count in steady[1:]) >= 0.99 * pacer.rate * seconds


@pytest.mark.parametrize("rate", [1, 3, 39, 40, 2000, 100_000])
def test_pacer_drains_ten_seconds_of_backlog_at_the_default_batch(rate: int) -> None:
    pacer = Pacer(rate, max(1, rate // 40))
    now, end, released = 0.0, 10.0, 0
    while now < end:
        released += pacer.take(now, pacer.batch)
        now += max(pacer.delay(now), 1e-9)
    assert 0.99 * rate * 10 <= released <= rate * 10 + pacer.batch


def test_pacer_saves_up_no_idle_time() -> None:
    pacer = Pacer(2000, 50)
    assert pacer.take(0.0, 50) == 50
    releases = run(pacer, lambda: 50, lambda: 0.0, 100)  # begins after a thousand idle seconds
    assert sum(count for at, count in releases if at < 1000.1) <= 250


def test_pacer_delays_a_whole_batch_until_it_may_go_at_once() -> None:
    pacer = Pacer(100, 30)
    now = 0.0
    for count in (30, 30, 30):
        now += pacer.delay(now, count)
        assert pacer.take(now, count) == count
    assert pacer.take(now, 30) == 0
    now += pacer.delay(now, 30)
    assert now > 1.0
    assert pacer.take(now, 30) == 30


class FixedWindow:
    """What many limiters do: count within each whole second."""

    def __init__(self, rate: int) -> None:
        self.rate, self.second, self.count = rate, -1, 0

    def take(self, now: float, wanted: int) -> int:
        if int(now) != self.second:
            self.second, self.count = int(now), 0
        count = min(wanted, self.rate - self.count)
        self.count += count
        return count


class TokenBucket:
    """What most others do: a bucket of `burst` tokens, refilled at the rate."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, float(burst), 0.0

    def take(self, now: float, wanted: int) -> int:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        count = min(wanted, int(self.tokens))
        self.tokens -= count
        return count


def around_the_boundary(limiter: FixedWindow | TokenBucket | Pacer) -> Releases:
    """A greedy drain that wakes every millisecond from 0.9 s on, over a second's boundary."""
    moments = [0.9 + step / 1000 for step in range(1200)]
    return [(now, count) for now in moments if (count := limiter.take(now, 50))]


@pytest.mark.parametrize("limiter", [FixedWindow(1000), TokenBucket(1000, burst=200)])
def test_the_check_catches_limiters_that_admit_more(
    limiter: FixedWindow | TokenBucket,
) -> None:
    assert most_in(around_the_boundary(limiter), 1.0) > 1000


def test_the_pacer_holds_across_the_boundary() -> None:
    releases = around_the_boundary(Pacer(1000, 50))
    assert 990 <= most_in(releases, 1.0) <= 1000
    assert all(later > earlier for (earlier, _), (later, _) in pairwise(releases))


@pytest.mark.parametrize(("rate", "batch"), [(0, 1), (10, 0), (10, 11)])
def test_pacer_refuses_an_invalid_rate_or_batch(rate: int, batch: int) -> None:
    with pytest.raises(ValueError, match="need rate"):
        Pacer(rate, batch)


Changes = list[tuple[float, int]]


def highest_rate_between(changes: Changes, first: float, last: float) -> int:
    """The highest rate in force at any moment from `first` to `last`, both included."""
    before = [rate for at, rate in changes if at <= first]
    return max([before[-1], *(rate for at, rate in changes if first < at <= last)])


def run_with_changes(
    pacer: Pacer, changes: Changes, until: float, stall: Callable[[], float]
) -> Releases:
    """Release a backlog as the drain does, while an operator changes the rate."""
    now, releases, due = changes[0][0], [], list(changes[1:])
    while now < until:
        if due and due[0][0] <= now:
            at, rate = due.pop(0)
            pacer.change(rate, now, batch_of(rate, None))
            changes[changes.index((at, rate))] = now, rate
        if count := pacer.take(now, pacer.batch):
            releases.append((now, count))
        step = pacer.delay(now) + stall()
        now = min(now + max(step, 1e-6), due[0][0] if due and due[0][0] > now else math.inf)
    return releases


@given(
    st.lists(st.tuples(st.floats(0.001, 1.5), st.integers(1, 3000)), min_size=1, max_size=6),
    randoms,
    st.sampled_from([0.0, 0.002, 0.2]),
)
def test_a_second_never_sees_more_than_the_highest_rate_in_force_during_it(
    steps: list[tuple[float, int]], rng: random.Random, longest_stall: float
) -> None:
    changes: Changes = [(0.0, 2000)]
    for after, rate in steps:
        changes.append((changes[-1][0] + after, rate))
    pacer = Pacer(2000, 50)
    releases = run_with_changes(
        pacer, changes, changes[-1][0] + 1.5, lambda: rng.uniform(0, longest_stall)
    )
    # A window may begin at a release, and a moment after each change.
    starts = [at for at, _ in releases] + [math.nextafter(at, math.inf) for at, _ in changes]
    for start in starts:
        seen = sum(count for at, count in releases if start <= at <= start + 1)
        assert seen <= highest_rate_between(changes, start, start + 1)


@pytest.mark.parametrize(("before", "after"), [(2000, 100), (2000, 1999), (100, 2000), (2000, 1)])
def test_a_changed_rate_is_used_whole_from_the_next_second_on(before: int, after: int) -> None:
    changes: Changes = [(0.0, before), (3.3, after)]
    pacer = Pacer(before, batch_of(before, None))
    releases = run_with_changes(pacer, changes, 8.5, lambda: 0.0)
    for second in (3.31, 4.31, 5.31, 6.31):
        seen = sum(count for at, count in releases if second <= at < second + 1)
        assert 0.97 * after - 1 <= seen <= after


def test_a_raise_is_obeyed_by_the_next_batch() -> None:
    pacer = Pacer(1, 1)
    assert pacer.take(0.0, 1) == 1
    assert pacer.delay(0.1) > 0.8
    pacer.change(2000, 0.1, 50)
    assert pacer.delay(0.1, 50) < 0.01


def test_a_lowered_rate_lowers_the_batch() -> None:
    pacer = Pacer(2000, 50)
    pacer.change(10, 0.0)
    assert (pacer.rate, pacer.batch) == (10, 10)
    with pytest.raises(ValueError, match="need rate"):
        pacer.change(0, 1.0)


@pytest.mark.parametrize(
    ("rate", "largest", "batch"),
    [(2000, None, 50), (39, None, 1), (1, None, 1), (2000, 500, 500), (100, 500, 100)],
)
def test_a_batch_is_a_fortieth_of_the_rate_or_what_is_set(
    rate: int, largest: int | None, batch: int
) -> None:
    assert batch_of(rate, largest) == batch


@given(st.integers(1, 1_000_000))
def test_every_rate_has_a_batch_that_it_allows(rate: int) -> None:
    Pacer(rate, batch_of(rate, None))
    Pacer(rate, batch_of(rate, 10_000))
