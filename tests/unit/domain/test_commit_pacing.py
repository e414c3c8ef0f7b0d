"""The pace by commits: no second over the rate, and close to it, however long commits take."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.pacing import Pacer, batch_of

Batches = list[tuple[float, int]]
Rates = list[tuple[float, int]]
"""When each rate began to hold, and the rate."""


def most_in_a_second(batches: Batches, seconds: float = 1) -> int:
    """The most orders in any closed window, by trying every one."""
    most = total = first = 0
    for at, count in batches:
        total += count
        while batches[first][0] < at - seconds:
            total -= batches[first][1]
            first += 1
        most = max(most, total)
    return most


def fewest_in_a_second(batches: Batches, start: float, end: float) -> int:
    """The fewest orders in any whole second in between, at every hundredth of a second."""
    starts = [start + n / 100 for n in range(int((end - start - 1) * 100))]
    return min(sum(n for at, n in batches if s <= at < s + 1) for s in starts)


def average(batches: Batches, start: float, end: float) -> float:
    """The orders a second in between."""
    return sum(count for at, count in batches if start <= at < end) / (end - start)


@dataclass
class Drain:
    """Drains a backlog as the drain loop does: one transaction at a time, on a virtual clock."""

    pacer: Pacer
    seconds: Callable[[], float]
    """The duration of a transaction."""
    written_after: Callable[[], float] | None = None
    """The part of that after which only the commit is left; None if the drain does not notice."""
    committed_after: Callable[[], float] = lambda: 1.0
    """The part of the rest after which the database has committed."""
    late: Callable[[], float] = lambda: 0.0
    """How much too late the drain wakes up, in seconds."""
    wanted: Callable[[], int] | None = None
    now: float = 0.0
    releases: Batches = field(default_factory=list)
    commits: Batches = field(default_factory=list)
    rates: Rates = field(default_factory=list)
    longest_wait: float = 0.0

    def run(self, end: float) -> None:
        """Drain until `end`."""
        self.rates = self.rates or [(self.now, self.pacer.rate)]
        while (begin := self.now + max(self.pacer.delay(self.now), 1e-9)) < end:
            self.now = begin + self.late()
            wanted = self.wanted() if self.wanted else self.pacer.batch
            if count := self.pacer.begin(self.now, wanted):
                self.releases.append((self.now, count))
                self._write(count)
        self.now = max(self.now, end)

    def _write(self, count: int) -> None:
        duration = self.seconds()
        if self.written_after is not None:
            writing = duration * self.written_after()
            self.now += writing
            self.pacer.written(self.now)
            waits = self.pacer.commit_delay(self.now)
            self.longest_wait = max(self.longest_wait, waits)
            self.now += waits
            duration -= writing
        self.commits.append((self.now + duration * self.committed_after(), count))
        self.now += duration
        self.pacer.committed(self.now)

    def change(self, rate: int) -> None:
        """Set another rate."""
        self.pacer.change(rate, self.now, batch_of(rate, None))
        self.rates.append((self.now, rate))

    def highest_rate(self, first: float, last: float) -> int:
        """The highest rate in force from `first` to `last`, both included."""
        before = [rate for at, rate in self.rates if at <= first]
        return max([before[-1], *(rate for at, rate in self.rates if first < at <= last)])


randoms = st.integers(0, 2**32).map(random.Random)


@given(
    st.one_of(st.integers(1, 50), st.integers(1, 5000)),
    st.data(),
    randoms,
    st.sampled_from([0.001, 0.01, 0.1, 1.5]),
)
def test_no_second_is_over_the_rate_by_release_or_by_commit(
    rate: int, data: st.DataObject, rng: random.Random, longest: float
) -> None:
    batch = data.draw(st.integers(max(1, rate // 50), rate))
    most = data.draw(st.integers(batch, 4 * batch))
    drain = Drain(
        Pacer(rate, batch, most),
        seconds=lambda: rng.choice([0.0, rng.uniform(0, longest)]),
        written_after=rng.choice([None, rng.random]),
        committed_after=rng.random,
        late=lambda: rng.choice([0.0, rng.uniform(0, 0.003)]),
        wanted=lambda: rng.randint(1, 4 * batch),
    )
    drain.run(4.0)
    for batches in (drain.releases, drain.commits):
        assert most_in_a_second(batches) <= rate
        assert most_in_a_second(batches, 0.1) <= rate / 10 + batch


@given(
    st.lists(st.tuples(st.floats(0.001, 1.5), st.integers(1, 3000)), min_size=1, max_size=6),
    randoms,
    st.sampled_from([0.001, 0.01, 0.1, 1.2]),
)
def test_a_second_has_at_most_the_highest_rate_in_force_during_it_by_commit_too(
    steps: list[tuple[float, int]], rng: random.Random, longest: float
) -> None:
    drain = Drain(
        Pacer(2000, 50),
        seconds=lambda: rng.uniform(0, longest),
        written_after=rng.choice([None, rng.random]),
        committed_after=rng.random,
    )
    for after, rate in steps:
        drain.run(drain.now + after)
        drain.change(rate)
    drain.run(drain.now + 1.5)
    for batches in (drain.releases, drain.commits):
        # A window may begin at a batch, and a moment after each change.
        starts = [at for at, _ in batches] + [math.nextafter(at, math.inf) for at, _ in drain.rates]
        for start in starts:
            seen = sum(count for at, count in batches if start <= at <= start + 1)
            assert seen <= drain.highest_rate(start, start + 1)


def test_orders_in_flight_hold_their_places_until_their_commit_is_seen() -> None:
    pacer = Pacer(100, 100)
    assert pacer.begin(0.0, 100) == 100
    assert pacer.delay(60.0) == math.inf
    assert pacer.begin(60.0, 1) == 0
    pacer.committed(60.0)
    assert 1.0 < pacer.delay(60.0) < 1.001
    assert pacer.begin(61.001, 100) == 100


def test_a_lowered_rate_counts_the_orders_that_are_in_flight() -> None:
    pacer = Pacer(2000, 50)
    assert pacer.begin(0.0, 50) == 50
    pacer.change(60, 0.01, 60)
    pacer.committed(0.02)
    assert pacer.begin(0.9, 60) == 10
    pacer.committed(0.9)
    assert pacer.begin(1.1, 60) == 50


def test_a_lowered_rate_does_not_count_the_orders_that_were_committed_before() -> None:
    pacer = Pacer(2000, 50)
    assert pacer.begin(0.0, 50) == 50
    pacer.committed(0.01)
    pacer.change(60, 0.02, 60)
    assert pacer.begin(0.9, 60) == 60


def test_commits_may_be_seen_twice_or_without_a_release() -> None:
    pacer = Pacer(2000, 50)
    pacer.committed(0.0)
    assert pacer.begin(0.1, 50) == 50
    pacer.committed(0.2)
    pacer.committed(0.9)
    assert pacer._commits.room(1.3) == 250  # of a tenth of a second


def durations(low: float, high: float) -> Callable[[random.Random], Callable[[], float]]:
    return lambda rng: lambda: rng.uniform(low, high)


STEADY = {
    "1 ms": durations(0.001, 0.001),
    "5 ms": durations(0.005, 0.005),
    "1 to 9 ms": durations(0.001, 0.009),
    "4 to 6 ms": durations(0.004, 0.006),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", STEADY)
def test_a_backlog_uses_99_percent_on_average_and_975_in_1000_in_every_whole_second(
    kind: str, seed: int
) -> None:
    rng = random.Random(seed)
    drain = Drain(Pacer(2000, 50), STEADY[kind](rng), late=lambda: rng.uniform(0, 0.0003))
    drain.run(20.0)
    for batches in (drain.releases, drain.commits):
        assert average(batches, 0.0, 20.0) >= 0.99 * 2000
    assert fewest_in_a_second(drain.releases, 0.0, 20.0) >= 1950


@pytest.mark.parametrize("seed", range(3))
def test_long_statements_before_a_short_commit_cost_nothing(seed: int) -> None:
    rng = random.Random(seed)
    drain = Drain(
        Pacer(2000, 50),
        seconds=durations(0.012, 0.02)(rng),
        written_after=lambda: 0.9,
        late=lambda: rng.uniform(0, 0.0003),
    )
    drain.run(20.0)
    assert average(drain.commits, 0.0, 20.0) >= 0.9925 * 2000
    for batches in (drain.releases, drain.commits):
        assert most_in_a_second(batches) <= 2000
        assert fewest_in_a_second(batches, 0.1, 19.9) >= 1950


@pytest.mark.parametrize("seed", range(3))
def test_statements_that_take_now_more_now_less_cost_nothing(seed: int) -> None:
    rng = random.Random(seed)
    drain = Drain(
        Pacer(2000, 50),
        seconds=lambda: 0.009 * math.exp(rng.gauss(0, 0.3)) + 0.004,
        written_after=lambda: 0.7,
        late=lambda: rng.expovariate(2000),
    )
    drain.run(20.0)
    assert average(drain.commits, 0.0, 20.0) >= 1985
    assert fewest_in_a_second(drain.releases, 0.1, 19.9) >= 1950


@pytest.mark.parametrize("seconds", [0.028, 0.035, 0.044])
def test_a_drain_with_long_transactions_keeps_the_rate_by_larger_ones(seconds: float) -> None:
    rng = random.Random(1)
    drain = Drain(
        Pacer(2000, 50, 100),
        seconds=lambda: seconds * rng.uniform(0.8, 1.2),
        written_after=lambda: 0.9,
        wanted=lambda: 200,
    )
    drain.run(20.0)
    assert average(drain.commits, 1.0, 20.0) >= 0.9 * 2000  # 0.57 by batches of 50 at 44 ms
    assert {count for _, count in drain.releases} == {50, 100}


def test_a_drain_that_keeps_up_has_no_larger_transactions() -> None:
    rng = random.Random(1)
    drain = Drain(
        Pacer(2000, 50, 100),
        seconds=durations(0.005, 0.02)(rng),
        written_after=lambda: 0.9,
        wanted=lambda: 200,
    )
    drain.run(1.0)
    drain.now += 30.0  # nothing is in the queue
    drain.run(40.0)
    assert {count for _, count in drain.releases} == {50}


def test_a_stall_is_made_up_for_at_once_and_leaves_no_larger_batches() -> None:
    pacer = Pacer(2000, 50, 100)
    now = 0.0
    for _ in range(80):
        now += pacer.delay(now)
        assert pacer.take(now, 200) == 50
    now += pacer.delay(now) + 0.055
    assert pacer.take(now, 200) == 100
    after = []
    for _ in range(80):
        now += pacer.delay(now)
        after.append(pacer.take(now, 200))
    assert set(after) == {50}


def test_a_transaction_waits_with_its_locks_for_50_ms_at_most() -> None:
    rng = random.Random(1)
    slow = iter([0.5] * 40)
    drain = Drain(Pacer(2000, 50), lambda: next(slow, rng.uniform(0, 0.02)), lambda: 0.9)
    drain.run(25.0)
    assert 0 < drain.longest_wait <= 0.05


def test_orders_in_flight_at_a_decrease_do_not_wait_for_a_place_that_never_comes() -> None:
    pacer = Pacer(2000, 50)
    assert pacer.begin(0.0, 50) == 50
    pacer.change(20, 0.001, 1)
    pacer.written(0.01)
    assert pacer.commit_delay(0.01) == 0.0


@pytest.mark.parametrize(("rate", "batch"), [(1, 1), (7, 3), (40, 1), (500, 12), (2000, 1500)])
def test_a_backlog_uses_99_percent_at_any_rate_and_batch(rate: int, batch: int) -> None:
    rng = random.Random(rate)
    drain = Drain(Pacer(rate, batch), durations(0.001, 0.009)(rng))
    drain.run(60.0)
    assert average(drain.releases, 0.0, 60.0) >= 0.99 * rate - 1 / 60


@pytest.mark.parametrize("stall_at", [1, 40, 377])
def test_a_single_stall_of_100_ms_leaves_99_percent_on_average(stall_at: int) -> None:
    rng, numbers = random.Random(1), iter(range(10_000))
    drain = Drain(
        Pacer(2000, 50),
        lambda: 0.1 if next(numbers) == stall_at else rng.uniform(0.001, 0.009),
    )
    drain.run(20.0)
    assert average(drain.commits, 0.0, 20.0) >= 0.99 * 2000
    assert most_in_a_second(drain.commits) <= 2000
    stalled_at = drain.releases[stall_at][0]
    assert fewest_in_a_second(drain.releases, stalled_at + 0.5, 20.0) >= 1950
