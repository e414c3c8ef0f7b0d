"""The circuit breaker: when it opens, how it probes, and how it comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.delivery.answers import (
    Answer,
    Busy,
    Refused,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
)
from flashsale.domain.delivery.breaker import Breaker, BreakerState
from flashsale.domain.order_states import Reason

GOOD = Taken()
FAILED = TryAgain("the receiver answers 500", trouble=Trouble.SERVER_ERROR)
REFUSED = TryAgain("the connection is refused", False, Trouble.CONNECTION_REFUSED)
STILL_AT_FIRST = TryAgain("409", trouble=Trouble.STILL_AT_FIRST)
BUSY = Busy("429")


def hear(breaker: Breaker, now: float, *answers: Answer) -> None:
    for answer in answers:
        breaker.heard([answer], now)


def an_open_breaker(now: float = 100.0) -> Breaker:
    breaker = Breaker()
    hear(breaker, now, *[REFUSED] * 5)
    assert breaker.state(now) is BreakerState.OPEN
    return breaker


def a_probing_breaker() -> Breaker:
    """Probing from 130 on."""
    return an_open_breaker(100.0)


def test_a_new_breaker_is_closed() -> None:
    breaker = Breaker()
    assert breaker.state(0.0) is BreakerState.CLOSED
    assert (breaker.rate(0.0, 2000), breaker.delay(0.0), breaker.begin(0.0)) == (2000, 0.0, False)


@pytest.mark.parametrize(
    ("good", "failed", "state"),
    [(6, 14, "open"), (7, 13, "closed"), (0, 19, "closed"), (0, 20, "open"), (27, 63, "open")],
)
def test_it_opens_at_70_percent_of_at_least_20_requests(good: int, failed: int, state: str) -> None:
    breaker = Breaker()
    hear(breaker, 1.0, *[GOOD] * good, *[FAILED] * failed)
    assert breaker.state(1.0).value == state


def test_failures_of_more_than_30_s_ago_do_not_count() -> None:
    breaker = Breaker()
    hear(breaker, 0.0, *[FAILED] * 19)
    hear(breaker, 30.5, FAILED)
    assert breaker.state(30.5) is BreakerState.CLOSED
    hear(breaker, 59.5, *[FAILED] * 19)
    assert breaker.state(59.5) is BreakerState.OPEN


@pytest.mark.parametrize("between", [GOOD, FAILED, Refused(Reason.SOLD_OUT), Undeliverable("404")])
def test_five_refused_connections_in_a_row_open_it(between: Answer) -> None:
    breaker = Breaker()
    hear(breaker, 1.0, *[REFUSED] * 4, between, *[REFUSED] * 4)
    assert breaker.state(1.0) is BreakerState.CLOSED
    hear(breaker, 1.0, REFUSED)
    assert breaker.state(1.0) is BreakerState.OPEN


def test_what_is_busy_has_not_failed_and_has_not_succeeded() -> None:
    breaker = Breaker()
    hear(breaker, 1.0, *[BUSY] * 50, *[STILL_AT_FIRST] * 50)
    assert breaker.state(1.0) is BreakerState.CLOSED
    hear(breaker, 1.0, REFUSED, BUSY, *[REFUSED] * 4)
    assert breaker.state(1.0) is BreakerState.OPEN
    breaker.begin(31.0)
    hear(breaker, 31.0, BUSY, STILL_AT_FIRST)
    assert breaker.state(31.0) is BreakerState.PROBING


def test_a_batch_is_one_request_that_fails_by_its_share() -> None:
    breaker = Breaker()
    breaker.heard([FAILED] * 50, 1.0)
    breaker.heard([REFUSED] * 50, 1.0)
    assert breaker.state(1.0) is BreakerState.CLOSED
    for _ in range(18):
        breaker.heard([GOOD] * 35 + [FAILED] * 15, 1.0)
    assert breaker.state(1.0) is BreakerState.CLOSED
    for _ in range(50):
        breaker.heard([GOOD] * 5 + [FAILED] * 45, 1.0)
    assert breaker.state(1.0) is BreakerState.OPEN


def test_an_open_breaker_lets_nothing_through_for_30_s_and_then_one_probe_a_second() -> None:
    breaker = an_open_breaker(100.0)
    assert (breaker.rate(100.0, 2000), breaker.delay(110.0)) == (0, 20.0)
    assert breaker.state(130.0) is BreakerState.PROBING
    assert (breaker.rate(130.0, 2000), breaker.delay(130.0)) == (1, 0.0)
    assert breaker.begin(130.0)
    hear(breaker, 130.1, REFUSED)
    assert breaker.delay(130.25) == 0.75
    assert breaker.begin(131.0)
    assert breaker.delay(131.0) == 1.0
    assert breaker.state(400.0) is BreakerState.PROBING


def test_late_answers_do_not_close_an_open_breaker() -> None:
    breaker = an_open_breaker(100.0)
    hear(breaker, 101.0, GOOD, GOOD, FAILED)
    assert breaker.state(101.0) is BreakerState.OPEN


@pytest.mark.parametrize("good", [GOOD, Refused(Reason.SOLD_OUT), Undeliverable("404")])
def test_the_first_good_probe_starts_a_ramp_of_10_s(good: Answer) -> None:
    breaker = a_probing_breaker()
    breaker.begin(130.0)
    hear(breaker, 130.0, good)
    assert breaker.state(130.0) is BreakerState.RAMPING
    assert [breaker.rate(130.0 + after, 2000) for after in (0.0, 0.5, 5.0, 9.999)] == [
        1,
        100,
        1000,
        1999,
    ]
    assert not breaker.begin(135.0)
    assert breaker.delay(135.0) == 0.0
    assert breaker.state(140.0) is BreakerState.CLOSED
    assert breaker.rate(140.0, 2000) == 2000


def test_it_may_open_again_during_the_ramp() -> None:
    breaker = a_probing_breaker()
    hear(breaker, 130.0, GOOD)
    hear(breaker, 132.0, *[FAILED] * 20)
    assert breaker.state(132.0) is BreakerState.OPEN
    assert breaker.delay(132.0) == 30.0


def test_failures_before_a_ramp_are_forgotten() -> None:
    breaker = Breaker()
    hear(breaker, 100.0, *[FAILED] * 20)
    hear(breaker, 130.0, GOOD, *[FAILED] * 19)
    assert breaker.state(130.0) is BreakerState.RAMPING


answers = st.sampled_from([GOOD, FAILED, REFUSED, BUSY, STILL_AT_FIRST, Undeliverable("404")])


@given(
    st.lists(st.tuples(st.floats(0, 12), st.lists(answers, min_size=1, max_size=8)), max_size=60)
)
def test_state_delay_and_rate_always_agree(
    heard: list[tuple[float, list[Answer]]],
) -> None:
    breaker, now, opened = Breaker(), 0.0, 0
    was_open = False
    for after, batch in heard:
        now += after
        state, delay, rate = breaker.state(now), breaker.delay(now), breaker.rate(now, 100)
        assert (rate == 0) == (state is BreakerState.OPEN)
        assert 0 <= delay <= 30
        assert delay == 0 or state in (BreakerState.OPEN, BreakerState.PROBING)
        assert rate == 100 or state is not BreakerState.CLOSED
        if delay == 0:
            assert breaker.begin(now) == (state is BreakerState.PROBING)
            breaker.heard(batch, now)
        is_open = breaker.state(now) is BreakerState.OPEN
        opened += is_open and not was_open
        was_open = is_open
    if all(answer in (GOOD, BUSY) for _, batch in heard for answer in batch):
        assert opened == 0
