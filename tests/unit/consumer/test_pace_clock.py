"""The pace never runs ahead of time, nor of the clock that orders are recorded by."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.clock import drain_clock, pace_clock
from consumer.clock.drain_clock import DrainClock
from consumer.clock.pace_clock import PaceClock
from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate
from flashsale.domain.pacing import Pacer
from flashsale.domain.steady_clock import ClockReading
from loadtest.measure.windows import most_in_window


class Time:
    """Stands in for the module `time`."""

    at = 1_000.0

    def monotonic(self) -> float:
        return self.at

    def time(self) -> float:
        return 1_800_000_000.0 + self.at


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Time:
    machine = Time()
    monkeypatch.setattr(drain_clock, "time", machine)
    monkeypatch.setattr(pace_clock, "time", machine)
    return machine


def reading(machine: Time, offset: float, uncertain: float) -> ClockReading:
    """The database's clock at a moment, of which only the duration of a question is known."""
    return ClockReading(machine.at + offset, machine.at - uncertain, machine.at + uncertain)


@pytest.mark.parametrize("uncertain", [0.03, 0.2])
def test_no_second_of_the_drain_has_too_many_orders_when_a_better_reading_sets_its_clock_back(
    machine: Time, uncertain: float
) -> None:
    clock = DrainClock()
    clock.follow(reading(machine, 5.0, uncertain))
    pace, pacer = PaceClock(clock), Pacer(500, 25)
    recorded, passed = [], []
    for turn in range(6_000):
        machine.at += 0.001
        if turn == 1_500:
            clock.follow(reading(machine, 5.0, 0.001))
        now = pace.now()
        if pacer.delay(now) <= 0:
            count = pacer.begin(now, 25)
            recorded.append((pace.drain_time, count))
            passed.append((machine.at, count))
            pacer.committed(now)
    assert 450 < most_in_window(recorded, 1.0) <= 500
    assert 450 < most_in_window(passed, 1.0) <= 500


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.floats(-3, 3), st.floats(0.001, 0.3), st.booleans()),
        max_size=40,
    )
)
def test_it_never_runs_faster_than_either_clock(
    steps: list[tuple[float, float, float, bool]],
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        machine = Time()
        patched.setattr(drain_clock, "time", machine)
        patched.setattr(pace_clock, "time", machine)
        clock = DrainClock()
        pace = PaceClock(clock)
        seen = [(pace.now(), machine.at, pace.drain_time)]
        for passed, offset, uncertain, hears in steps:
            machine.at += passed
            if hears:
                clock.follow(reading(machine, offset, uncertain))
            seen.append((pace.now(), machine.at, pace.drain_time))
        for before, after in pairwise(seen):
            paced, real, drained = (b - a for a, b in zip(before, after, strict=True))
            assert 0 <= paced <= real + 1e-6
            assert drained < 0 or paced <= drained + 1e-6


def test_a_gate_paces_by_it(machine: Time) -> None:
    gate = ReleaseGate(DrainControl(500, 25))
    gate.clock.follow(reading(machine, 5.0, 0.1))
    assert gate.release(25) == 25
    before = gate.released_at
    gate.committed()
    gate.clock.follow(reading(machine, 5.0, 0.001))
    machine.at += (
        0.06  # the place of another batch, but by the clock of the drain no time has passed
    )
    assert gate.release(25) == 0
    machine.at += 0.2
    assert gate.release(25) == 25
    assert gate.released_at > before + 0.05
    gate.close()
