"""A steady clock follows another clock, and no step of that one makes time jump."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.steady_clock import SLEW, ClockReading, SteadyClock

HOUR = 3600.0
ANCHOR = 1_800_000_000.0


def a_reading(at: float, time: float, *, takes: float = 0.0) -> ClockReading:
    """The other clock showed `time` at the moment `at`, asked `takes` before and after."""
    return ClockReading(time, at - takes, at + takes)


def a_clock(step: float = 0.0, *, until: float = 10.0) -> SteadyClock:
    """A clock that was set at the moment 0, and was told of a step at the moment 1."""
    clock = SteadyClock()
    clock.heard(a_reading(0, ANCHOR))
    moment = 1.0
    while moment <= until:
        clock.heard(a_reading(moment, ANCHOR + moment + step))
        moment += 0.25
    return clock


def at(clock: SteadyClock, moment: float) -> float:
    """The time of the clock in seconds since it was set."""
    now = clock.now(moment)
    assert now is not None
    return now - ANCHOR


def test_a_clock_that_was_never_told_the_time_does_not_know_it() -> None:
    assert SteadyClock().now(5.0) is None
    assert SteadyClock().catch_up() == 0.0


@pytest.mark.parametrize("step", [HOUR, -HOUR, 365 * 24 * HOUR])
def test_time_goes_on_by_two_percent_faster_or_slower_after_a_step(step: float) -> None:
    clock = a_clock(step, until=601)
    assert abs(at(clock, 601) - 601) <= SLEW * 601 + 0.001
    assert abs(at(clock, 601) - 601) > SLEW * 590, "but it follows"
    assert clock.behind == pytest.approx(step - (at(clock, 601) - 601))


def test_a_small_step_is_followed_within_a_minute_for_each_second() -> None:
    clock = a_clock(1.0, until=60)
    assert clock.behind == 0
    assert at(clock, 60) == pytest.approx(61)
    clock = a_clock(-1.0, until=60)
    assert clock.behind == 0
    assert at(clock, 60) == pytest.approx(59)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_clock_that_may_catch_up_goes_to_the_other_at_once(step: float) -> None:
    clock = a_clock(step)
    assert clock.catch_up() == pytest.approx(step, abs=0.3)
    assert at(clock, 10) == pytest.approx(10 + step)
    assert clock.behind == 0
    assert clock.catch_up() == 0.0


def test_an_answer_that_took_long_is_not_taken_for_a_step() -> None:
    clock = SteadyClock()
    clock.heard(a_reading(0, ANCHOR, takes=0.001))
    # The database was frozen for 20 s, and nobody knows when it read its clock.
    clock.heard(ClockReading(ANCHOR + 2, 1.0, 21.0))
    clock.heard(ClockReading(ANCHOR + 40.5, 22.0, 42.0))
    assert at(clock, 43) == pytest.approx(43, abs=0.002)
    assert clock.behind == 0


def test_quick_answers_correct_a_clock_that_was_set_by_a_slow_one_at_once() -> None:
    clock = SteadyClock()
    clock.heard(a_reading(0, ANCHOR, takes=5.0))
    clock.heard(a_reading(6, ANCHOR + 6, takes=0.001))
    assert at(clock, 7) == pytest.approx(7, abs=0.002)
    assert clock.behind == 0


def test_a_clock_is_set_anew_after_a_minute_without_readings() -> None:
    clock = a_clock()
    clock.heard(a_reading(100, ANCHOR + 100 + HOUR))
    assert (at(clock, 100), clock.behind) == (100 + HOUR, 0.0)


def test_the_clock_shows_no_less_than_the_other_one_did() -> None:
    clock = SteadyClock()
    # The other clock may have been read right after it was asked.
    clock.heard(a_reading(0, ANCHOR, takes=0.01))
    assert at(clock, -0.01) >= -1e-6


def test_the_clock_does_not_go_back_when_it_is_corrected() -> None:
    clock = SteadyClock()
    clock.heard(a_reading(0, ANCHOR, takes=5.0))
    ahead = at(clock, 5.5)
    clock.heard(a_reading(6, ANCHOR + 6, takes=0.001))
    assert at(clock, 6.1) == ahead
    assert at(clock, 20) == pytest.approx(20, abs=0.002)


steps = st.lists(st.floats(-2 * HOUR, 2 * HOUR), min_size=1, max_size=5)


@given(steps, st.lists(st.floats(0.01, 30), min_size=2, max_size=40), st.floats(0, 0.01))
def test_no_steps_make_any_time_longer_or_shorter_than_by_two_percent(
    steps: list[float], gaps: list[float], takes: float
) -> None:
    clock, moment, step, shown = SteadyClock(), 0.0, 0.0, [(0.0, 0.0)]
    clock.heard(a_reading(0, ANCHOR))
    for number, gap in enumerate(gaps):
        moment += gap
        if number % 8 == 7 and steps:
            step += steps.pop()
        clock.heard(a_reading(moment, ANCHOR + moment + step, takes=takes))
        shown.append((moment, at(clock, moment)))
    for earlier, then in shown:
        for later, now in shown:
            if later > earlier:
                passed = later - earlier
                assert now >= then
                assert abs(now - then - passed) <= SLEW * (passed + 2 * takes) + 2 * takes + 1e-4
