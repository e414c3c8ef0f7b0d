"""What operators may set, and until when it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.controls import Controls, DrainChange, IntakeChange
from flashsale.domain.durations import parse_duration
from flashsale.domain.operators.refusals import ChangeRefused

NOW = 1_800_000_000.0


def test_each_change_has_an_end_of_its_own() -> None:
    controls = DrainChange(rate=500, for_seconds=60).apply(Controls(), NOW)
    controls = DrainChange(paused=True, for_seconds=10).apply(controls, NOW)
    assert controls.for_drain == (True, 500)
    assert controls.at(NOW + 10).for_drain == (False, 500)
    assert controls.at(NOW + 60).for_drain == (False, None)
    assert controls.next_end == NOW + 10


def test_the_end_goes_with_the_change_that_set_it() -> None:
    controls = DrainChange(rate=500, for_seconds=60).apply(Controls(), NOW)
    controls = DrainChange(rate=700).apply(controls, NOW)
    assert controls.at(NOW + 1e6).rate == 700
    controls = DrainChange(paused=True, for_seconds=60).apply(controls, NOW)
    controls = DrainChange(paused=False).apply(controls, NOW)
    assert controls.next_end is None


def test_a_change_finds_what_has_ended_gone() -> None:
    controls = DrainChange(paused=True, for_seconds=10).apply(Controls(), NOW)
    controls = DrainChange(rate=500).apply(controls, NOW + 10)
    assert controls.for_drain == (False, 500)


@given(
    changes=st.lists(
        st.tuples(
            st.floats(0, 100),
            st.one_of(
                st.builds(
                    DrainChange,
                    paused=st.just(True),
                    for_seconds=st.none() | st.floats(0.1, 100),
                ),
                st.just(DrainChange(paused=False)),
                st.builds(
                    DrainChange,
                    rate=st.integers(1, 10_000),
                    for_seconds=st.none() | st.floats(0.1, 100),
                ),
                st.just(DrainChange(own_rate=True)),
            ),
        ),
        max_size=8,
    ),
    later=st.floats(0, 300),
)
def test_what_is_in_force_is_what_the_last_change_of_each_kind_says(
    changes: list[tuple[float, DrainChange]], later: float
) -> None:
    controls, now = Controls(), NOW
    paused: tuple[bool, float | None] = (False, None)
    rate: tuple[int | None, float | None] = (None, None)
    for pause, change in changes:
        now += pause
        controls = change.apply(controls, now)
        end = None if change.for_seconds is None else now + change.for_seconds
        if change.paused is not None:
            paused = change.paused, end
        else:
            rate = change.rate, end
    now += later
    expected_pause = paused[0] and (paused[1] is None or now < paused[1])
    expected_rate = rate[0] if rate[1] is None or now < rate[1] else None
    assert controls.at(now).for_drain == (expected_pause, expected_rate)


def test_a_notice_belongs_to_the_pause_of_the_intake() -> None:
    controls = IntakeChange(True, "back at noon").apply(Controls(), NOW)
    assert IntakeChange(notice="at one").apply(controls, NOW).notice == "at one"
    assert IntakeChange(True).apply(controls, NOW).notice is None
    assert IntakeChange(False).apply(controls, NOW) == Controls()
    with pytest.raises(ChangeRefused):
        IntakeChange(notice="hello").apply(Controls(), NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2h", 7200), ("5", 5), ("1.5s", 1.5)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10x", "-5", "1m1h", "ten", "1e9", "٣m"])
def test_what_is_no_duration_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
