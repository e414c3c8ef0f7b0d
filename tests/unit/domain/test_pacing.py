"""The pace: never over the rate in any second, and hardly ever under it."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.pacing import Pacer

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
def test_ten_seconds_of_backlog_at_the_default_batch(rate: int) -> None:
    pacer = Pacer(rate, max(1, rate // 40))
    now, end, released = 0.0, 10.0, 0
    while now < end:
        released += pacer.take(now, pacer.batch)
        now += max(pacer.delay(now), 1e-9)
    assert 0.99 * rate * 10 <= released <= rate * 10 + pacer.batch


def test_idle_time_is_not_saved_up() -> None:
    pacer = Pacer(2000, 50)
    assert pacer.take(0.0, 50) == 50
    releases = run(pacer, lambda: 50, lambda: 0.0, 100)  # begins after a thousand idle seconds
    assert sum(count for at, count in releases if at < 1000.1) <= 250


def test_delay_for_a_whole_batch_is_when_it_may_go_at_once() -> None:
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
def test_the_check_catches_limiters_that_admit_more(limiter: FixedWindow | TokenBucket) -> None:
    assert most_in(around_the_boundary(limiter), 1.0) > 1000


def test_the_pacer_holds_across_the_boundary() -> None:
    releases = around_the_boundary(Pacer(1000, 50))
    assert 990 <= most_in(releases, 1.0) <= 1000
    assert all(later > earlier for (earlier, _), (later, _) in pairwise(releases))


@pytest.mark.parametrize(("rate", "batch"), [(0, 1), (10, 0), (10, 11)])
def test_nonsense_is_refused(rate: int, batch: int) -> None:
    with pytest.raises(ValueError, match="need rate"):
        Pacer(rate, batch)
