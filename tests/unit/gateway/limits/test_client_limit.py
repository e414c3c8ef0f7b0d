"""The limit of each client: how much fits, when, and what a refused client is promised."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits.client_limit import ClientLimit, SharedLimit

MANY = 1000
A, B = b"a", b"b"

rates = st.floats(0.01, 10_000)
bursts = st.integers(1, 50)
gaps = st.lists(st.floats(0, 5), min_size=1, max_size=80)


def a_limit(rate: float = 1, burst: int = 3, most: int = MANY) -> SharedLimit:
    return SharedLimit("order", rate, burst, most)


def fitting(limit: ClientLimit, client: bytes, now: float, tries: int = 1000) -> int:
    """How many requests are allowed at once."""
    return sum(limit.take(client, now) == 0.0 for _ in range(tries))


def test_a_burst_fits_and_then_one_request_each_interval() -> None:
    limit = a_limit(rate=2, burst=3)
    assert fitting(limit, A, 100.0) == 3
    assert limit.take(A, 100.0) == pytest.approx(0.5)
    assert fitting(limit, A, 100.5) == 1
    assert fitting(limit, A, 101.5) == 2
    assert fitting(limit, A, 1000.0) == 3


@given(rate=rates, burst=bursts, start=st.floats(0, 1e7))
@settings(max_examples=100, deadline=None)
def test_the_whole_burst_fits_whatever_the_rounding(rate: float, burst: int, start: float) -> None:
    assert fitting(a_limit(rate, burst), A, start, tries=burst) == burst


def test_clients_do_not_share_a_limit() -> None:
    limit = a_limit(burst=1)
    assert limit.take(A, 5.0) == 0.0
    assert limit.take(B, 5.0) == 0.0
    assert limit.take(A, 5.0) > 0.0


@given(rate=rates, burst=bursts, gaps=gaps)
@settings(max_examples=100, deadline=None)
def test_no_span_of_time_holds_more_than_the_burst_and_the_rate(
    rate: float, burst: int, gaps: list[float]
) -> None:
    limit = a_limit(rate, burst)
    now, allowed = 1000.0, []
    for gap in gaps:
        now += gap / rate
        if limit.take(A, now) == 0.0:
            allowed.append(now)
    for first, since in enumerate(allowed):
        for last in range(first, len(allowed)):
            most = burst + (allowed[last] - since) * rate
            assert last - first + 1 <= most + 0.01 + rate * 1e-5


@given(rate=rates, burst=bursts, gaps=gaps, start=st.floats(0, 1e9))
@settings(max_examples=100, deadline=None)
def test_who_obeys_retry_after_is_never_refused_twice_in_a_row(
    rate: float, burst: int, gaps: list[float], start: float
) -> None:
    limit = a_limit(rate, burst)
    now = start
    for gap in gaps:
        now += gap / rate
        wait = limit.take(A, now)
        if wait > 0.0:
            assert wait <= 1 / rate + 1e-5
            now += max(1, math.ceil(wait))
            assert limit.take(A, now) == 0.0


@given(
    rate=rates,
    burst=bursts,
    elsewhere=st.lists(st.integers(0, 20), min_size=1, max_size=40),
    most=st.sampled_from([2, MANY]),
)
@settings(max_examples=100, deadline=None)
def test_the_promise_is_kept_whatever_other_gateways_tell(
    rate: float, burst: int, elsewhere: list[int], most: int
) -> None:
    limit = a_limit(rate, burst, most)
    now = 1000.0
    for count in elsewhere:
        while (wait := limit.take(A, now)) == 0.0:
            pass
        if count:
            limit.add_elsewhere(A, count, now)
        now += max(1, math.ceil(wait))
        assert limit.take(A, now) == 0.0


def test_what_others_allowed_counts_and_a_client_that_hammers_all_gains_nothing() -> None:
    gateways = [a_limit(rate=1, burst=5) for _ in range(4)]
    now, allowed = 1000.0, 0
    for _ in range(4000):  # 200 s in steps of 50 ms, the time in which gateways tell each other
        allowed += sum(fitting(gateway, A, now, tries=10) for gateway in gateways)
        told = [gateway.untold() for gateway in gateways]
        for teller, counts in enumerate(told):
            for hearer, gateway in enumerate(gateways):
                for client, count in counts.items():
                    if hearer != teller:
                        gateway.add_elsewhere(client, count, now)
        now += 0.05
    # The burst once at each gateway, and then the rate of one.
    assert 200 <= allowed <= 200 + 4 * 5


def test_what_was_allowed_is_told_once_and_what_was_refused_never() -> None:
    limit = a_limit(burst=2)
    for _ in range(5):
        limit.take(A, 1.0)
    limit.take(B, 1.0)
    assert limit.untold() == {A: 2, B: 1}
    assert limit.untold() == {}
    limit.add_elsewhere(A, 3, 1.0)
    assert limit.untold() == {}


def test_a_client_that_comes_seldom_is_forgotten() -> None:
    limit = a_limit(rate=1, burst=3)
    now = 10.0
    for number in range(50):
        limit.take(b"%d" % number, now)
    assert len(limit) == 50
    for _ in range(3):
        now += 10
        limit.expire(now)
    assert len(limit) == 0


def test_a_client_in_debt_is_not_forgotten_while_others_come_and_go() -> None:
    limit = a_limit(rate=1, burst=3)
    now = 1000.0
    limit.add_elsewhere(A, 100, now)  # 97 s until it may send again
    for _ in range(60):
        now += 1.5
        limit.take(b"%f" % now, now)
        assert limit.take(A, now) > 0.0


def test_the_table_never_holds_more_than_its_bound() -> None:
    limit = a_limit(rate=0.001, burst=1, most=100)
    for number in range(1000):
        for _ in range(2):  # the second one is refused, and remembered too
            limit.take(b"%d" % number, 50.0 + number)
        assert len(limit) <= 2 * 100


def test_the_fields_are_those_of_the_draft() -> None:
    limit = a_limit(rate=0.5, burst=10)
    assert limit.policy == '"order";q=10;w=20'
    assert limit.state(2.3) == '"order";r=0;t=3'
    assert a_limit(rate=1000, burst=1).policy == '"order";q=1;w=1'
