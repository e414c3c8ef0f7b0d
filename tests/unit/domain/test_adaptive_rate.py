"""The adaptive rate: it falls while the database is slow, recovers, and never passes its cap."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.adaptive_rate import AdaptiveRate, BatchSeen, lower_of, rate_within
from flashsale.domain.pacing import Pacer, batch_of

TARGET = 0.02


def batches(
    rule: AdaptiveRate,
    cap: int,
    seconds: float,
    count: int = 40,
    gap: float = 0.025,
    start: float = 0.0,
    **seen: bool,
) -> float:
    """Show the rule that many batches, each as large as its rate allows; return when they end."""
    seen = {"held_back": True, "waiting": True} | seen
    for number in range(1, count + 1):
        orders = max(1, batch_of(cap, None) * rate_within(rule.kept, cap) // cap)
        rule.batch(BatchSeen(start + number * gap, seconds, orders, **seen), cap)
    return start + count * gap


@pytest.fixture
def rule() -> AdaptiveRate:
    return AdaptiveRate(TARGET)


def test_the_rate_is_the_cap_until_the_database_is_slow(rule: AdaptiveRate) -> None:
    batches(rule, 2000, seconds=TARGET, count=400)
    assert rule.kept is None
    assert (rate_within(rule.kept, 2000), rule.reason(2000)) == (2000, "cap")


def test_slow_transactions_take_a_tenth_off_twice_a_second(rule: AdaptiveRate) -> None:
    batches(rule, 2000, seconds=0.021, count=82)
    assert rule.kept == pytest.approx(2000 * 0.9**3)
    assert rule.reason(2000) == "slow"
    assert rule.p90 == 0.021


def test_one_slow_transaction_of_ten_is_no_reason(rule: AdaptiveRate) -> None:
    for n in range(50):
        rule.batch(BatchSeen(n * 0.2, 1.0 if n % 10 == 5 else 0.001, 5), 20)
    assert rule.kept is None
    for n in range(50, 70):
        rule.batch(BatchSeen(n * 0.2, 1.0 if n % 10 in (5, 6) else 0.001, 5), 20)
    assert rule.reason(20) == "slow"


def test_the_rate_is_never_below_a_tenth_of_the_cap(rule: AdaptiveRate) -> None:
    batches(rule, 2000, seconds=1.0, gap=1.0, count=1000)
    assert rate_within(rule.kept, 2000) == 200
    assert rate_within(rule.kept, 4000) == 400


@pytest.mark.parametrize("why", ["busy", "timeout"])
def test_a_failed_batch_halves_the_rate_at_once_and_once_in_a_second(
    rule: AdaptiveRate, why: str
) -> None:
    for n in range(20):
        rule.failed(n * 0.04, why, 2000)  # type: ignore[arg-type]
    assert rule.kept == 1000
    assert rule.reason(2000) == why


def test_a_database_that_stays_busy_halves_the_rate_again(rule: AdaptiveRate) -> None:
    for n in range(60):
        rule.failed(n * 0.04, "busy", 2000)
    assert rule.kept == 250
    batches(rule, 2000, 0.001, start=2.4, count=100)
    rule.failed(5.0, "busy", 2000)
    assert rate_within(rule.kept, 2000) == 200


def test_a_rate_that_is_used_while_orders_wait_gains_2_percent_of_the_cap_a_second(
    rule: AdaptiveRate,
) -> None:
    rule.resume(1000.0)
    assert rule.reason(2000) == "inherited"
    batches(rule, 2000, seconds=0.001, count=45)
    assert rule.kept == pytest.approx(1040, abs=1.5)
    assert rule.reason(2000) == "recovering"
    batches(rule, 2000, seconds=0.001, start=1.125, count=1200)
    assert rule.kept is None


def test_a_rate_that_is_not_used_is_not_raised(rule: AdaptiveRate) -> None:
    rule.resume(1000.0)
    for n in range(4000):  # 840 orders/s
        rule.batch(BatchSeen(n * 0.025, 0.001, 21, False, True), 2000)
    assert rule.kept == 1000
    for n in range(4000, 4400):  # 920 orders/s
        rule.batch(BatchSeen(n * 0.025, 0.001, 23, False, True), 2000)
    assert rule.kept > 1000


def test_a_rate_is_not_raised_while_no_orders_wait(rule: AdaptiveRate) -> None:
    rule.resume(1000.0)
    batches(rule, 2000, seconds=0.001, count=400, waiting=False)
    assert rule.kept == 1000


def test_a_drain_that_is_as_fast_as_its_transactions_has_used_its_rate() -> None:
    # 25 orders in 30 ms: 833 orders/s. With a higher rate the batches are larger.
    rule = AdaptiveRate(0.05)
    rule.resume(1000.0)
    batches(rule, 2000, seconds=0.03, gap=0.0301, count=100)
    assert rule.kept is not None
    assert rule.kept > 1000


def test_a_rate_in_force_follows_a_cap_that_is_raised_if_the_database_was_not_slow(
    rule: AdaptiveRate,
) -> None:
    batches(rule, 100, seconds=0.001)
    assert rate_within(rule.kept, 2000) == 2000


def test_a_lower_cap_holds_at_once_and_a_lowered_rate_is_not_forgotten_under_it(
    rule: AdaptiveRate,
) -> None:
    rule.resume(600.0)
    assert rate_within(rule.kept, 500) == 500
    batches(rule, 500, seconds=0.001, count=400)
    assert rate_within(rule.kept, 2000) == 600


@pytest.mark.parametrize(
    ("one", "other", "lower"), [(None, None, None), (1.0, None, 1.0), (None, 2.0, 2.0), (3, 2, 2)]
)
def test_of_two_kept_rates_the_cap_is_the_higher_one(
    one: float | None, other: float | None, lower: float | None
) -> None:
    assert lower_of(one, other) == lower


Database = Callable[[float, int], float]
"""The duration of a transaction that begins at that moment with that many orders."""


@dataclass
class Drain:
    """A drain with a backlog on a virtual clock, which follows the rule as the real one does."""

    cap: int
    database: Database
    target: float = TARGET
    now: float = 0.0
    rule: AdaptiveRate = field(init=False)
    pacer: Pacer = field(init=False)
    releases: list[tuple[float, int]] = field(default_factory=list)
    rates: list[tuple[float, int]] = field(default_factory=list)
    durations: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rule = AdaptiveRate(self.target)
        self.pacer = Pacer(self.cap, batch_of(self.cap, None))

    def run(self, until: float) -> None:
        while self.now < until:
            self.now += max(self.pacer.delay(self.now), 1e-9)
            count = self.pacer.begin(self.now, 10**6)
            if not count:
                continue
            self.releases.append((self.now, count))
            seconds = self.database(self.now, count)
            self.now += seconds
            self.pacer.committed(self.now)
            self.durations.append((self.now, seconds))
            self.rule.batch(BatchSeen(self.now, seconds, count, True, True), self.cap)
            rate = rate_within(self.rule.kept, self.cap)
            if rate != self.pacer.rate:
                batch = max(1, batch_of(self.cap, None) * rate // self.cap)
                self.pacer.change(rate, self.now, batch)
            self.rates.append((self.now, rate))

    def p90(self, start: float, end: float) -> float:
        seen = sorted(seconds for at, seconds in self.durations if start <= at < end)
        return seen[math.ceil(0.9 * len(seen)) - 1]

    def lowest(self, start: float, end: float) -> int:
        return min(rate for at, rate in self.rates if start <= at < end)


def most_in_a_second(releases: list[tuple[float, int]]) -> int:
    most = total = first = 0
    for at, count in releases:
        total += count
        while releases[first][0] <= at - 1:
            total -= releases[first][1]
            first += 1
        most = max(most, total)
    return most


def slower_between(
    start: float, end: float, factor: float, batch: int, seconds: float, rng: random.Random
) -> Database:
    """A transaction takes `seconds` for a full batch, half of it for any, and more in between."""

    def duration(now: float, orders: int) -> float:
        usual = seconds * (0.3 + 0.7 * orders / batch) * rng.uniform(0.8, 1.1)
        return usual * (factor if start <= now < end else 1.0)

    return duration


@pytest.mark.parametrize("cap", [80, 400, 2000, 20_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_database_three_times_slower_is_within_its_target_in_5_s_and_the_rate_comes_back(
    cap: int, seed: int
) -> None:
    rng = random.Random(seed)
    drain = Drain(cap, slower_between(10, 40, 3.0, batch_of(cap, None), TARGET * 0.6, rng))
    drain.run(10.0)
    assert drain.lowest(0.0, 10.0) == cap
    drain.run(40.0)
    assert drain.p90(15.0, 40.0) <= 1.5 * TARGET
    drain.run(100.0)
    assert drain.lowest(99.0, 100.0) >= 0.95 * cap
    assert most_in_a_second(drain.releases) <= cap


@pytest.mark.parametrize("cap", [1, 2, 5, 10, 15, 40])
def test_the_rate_falls_and_recovers_in_a_minute_at_a_few_orders_a_second(cap: int) -> None:
    drain = Drain(cap, lambda now, _: 0.1 if now < 300 else 0.001)
    drain.run(300.0)
    assert drain.rates[-1][1] == rate_within(0.0, cap)
    drain.run(360.0)
    assert drain.rates[-1][1] >= 0.95 * cap
    assert most_in_a_second(drain.releases) <= cap


@pytest.mark.parametrize("cap", [3, 40, 2000])
@pytest.mark.parametrize("stall_at", [0.0, 5.0, 5.99])
def test_one_stall_of_a_second_costs_at_most_half(cap: int, stall_at: float) -> None:
    stalls = iter([1.0])

    def duration(now: float, _: int) -> float:
        return next(stalls, 0.001) if now >= stall_at else 0.001

    drain = Drain(cap, duration)
    drain.run(30.0)
    assert drain.lowest(0.0, 30.0) >= cap / 2


@given(
    st.one_of(st.integers(1, 60), st.integers(1, 100_000)),
    st.lists(
        st.tuples(
            st.sampled_from(["batch", "batch", "batch", "failed", "resume"]),
            st.floats(0.0, 3.0),
            st.floats(0.0, 0.05),
            st.integers(1, 60),
            st.booleans(),
        ),
        max_size=200,
    ),
)
def test_whatever_happens_the_rate_is_between_a_tenth_of_the_cap_and_the_cap(
    cap: int, steps: list[tuple[str, float, float, int, bool]]
) -> None:
    rule, now = AdaptiveRate(TARGET), 0.0
    rates = [cap]
    for what, gap, seconds, orders, flag in steps:
        now += gap
        if what == "batch":
            rule.batch(BatchSeen(now, seconds, orders, flag, flag), cap)
        elif what == "failed":
            rule.failed(now, "busy", cap)
        else:
            rule.resume(seconds * cap * 40)
        rates.append(rate_within(rule.kept, cap))
        assert math.ceil(cap / 10) <= rates[-1] <= cap
        assert (rates[-1] == cap) == (rule.reason(cap) == "cap")
        if what == "batch":
            assert rates[-1] >= math.floor(0.5 * rates[-2])
            assert rates[-1] - rates[-2] <= 0.02 * cap * 10 + 1


@given(
    st.one_of(st.integers(1, 60), st.integers(60, 5000)),
    st.integers(0, 2**32).map(random.Random),
    st.sampled_from([0.001, 0.03, 0.2, 1.2]),
)
def test_no_second_is_over_the_cap_whatever_the_database_does(
    cap: int, rng: random.Random, longest: float
) -> None:
    drain = Drain(cap, lambda *_: rng.choice([0.001, rng.uniform(0, longest)]))
    drain.run(8.0)
    assert most_in_a_second(drain.releases) <= cap
