"""The quiet time of a receiver that is busy: the larger of its wish and our own back-off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.delivery.answers import Busy
from flashsale.domain.delivery.quiet_time import QuietTime


def a_busy(seconds: float | None = None) -> Busy:
    return Busy("the receiver answers 429", seconds)


def test_nothing_is_held_back_before_the_first_busy() -> None:
    assert QuietTime().delay(0.0) == 0.0


@pytest.mark.parametrize(
    ("asked", "held"), [(None, 0.5), (0.0, 0.5), (0.2, 0.5), (3.0, 3.0), (60.0, 60.0), (1e9, 60.0)]
)
def test_a_receiver_gets_what_it_asks_for_up_to_60_s_and_half_a_second_at_least(
    asked: float | None, held: float
) -> None:
    quiet = QuietTime()
    quiet.busy(a_busy(asked), began_at=9.9, now=10.0)
    assert quiet.delay(10.0) == pytest.approx(held)
    assert quiet.delay(10.0 + held) == 0.0


def test_each_quiet_time_in_a_row_is_twice_as_long_up_to_60_s() -> None:
    quiet, now, held = QuietTime(), 0.0, []
    for _ in range(9):
        quiet.busy(a_busy(), began_at=now, now=now)
        held.append(quiet.delay(now))
        now += held[-1]
    assert held == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_our_back_off_counts_if_it_is_more_than_the_receiver_asks_for() -> None:
    quiet, now = QuietTime(), 0.0
    for _ in range(4):
        quiet.busy(a_busy(1.0), began_at=now, now=now)
        held = quiet.delay(now)
        now += held
    assert held == pytest.approx(4.0)


def test_attempts_that_were_in_flight_make_one_quiet_time_and_not_many() -> None:
    quiet = QuietTime()
    for number in range(64):
        quiet.busy(a_busy(), began_at=1.0, now=2.0 + number / 1000)
    assert quiet.delay(2.0) == pytest.approx(0.5)
    quiet.busy(a_busy(3.0), began_at=1.0, now=2.1)
    assert quiet.delay(2.1) == pytest.approx(3.0)


def test_another_answer_starts_the_back_off_anew_if_it_is_younger_than_the_quiet_time() -> None:
    quiet = QuietTime()
    quiet.busy(a_busy(), began_at=0.0, now=0.0)
    quiet.heard(began_at=0.0)  # it was in flight, and tells nothing about the time after
    quiet.busy(a_busy(), began_at=0.5, now=0.5)
    assert quiet.delay(0.5) == pytest.approx(1.0)
    quiet.heard(began_at=1.5)
    quiet.busy(a_busy(), began_at=2.0, now=2.0)
    assert quiet.delay(2.0) == pytest.approx(0.5)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.floats(0, 1),
            st.one_of(st.none(), st.floats(0, 100), st.just(float("inf"))),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_no_answer_shortens_a_quiet_time_and_none_is_longer_than_60_s(
    answers: list[tuple[float, float, float | None]],
) -> None:
    quiet, now, until = QuietTime(), 0.0, 0.0
    for after, lasted, asked in answers:
        now += after
        quiet.busy(a_busy(asked), began_at=now - lasted, now=now)
        held = quiet.delay(now)
        assert min(asked or 0.0, 60.0) <= held + 1e-9
        assert held <= 60.0 + 1e-9
        assert now + held >= until - 1e-9
        until = now + held
