"""The time of the drain, as its announcements tell it."""

import time

import pytest

from gateway.state.drain.drain_clock import DrainClock


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time: a list of one number, which tests change."""
    moment = [100.0]
    monkeypatch.setattr("gateway.state.drain.drain_clock.time.monotonic", lambda: moment[0])
    return moment


def test_the_time_is_that_of_this_machine_until_the_drain_has_told_its_own() -> None:
    assert abs(DrainClock().now() - time.time()) < 1


def test_the_earliest_announcement_counts_as_others_took_longer(moment: list[float]) -> None:
    clock = DrainClock()
    for delay in (0.5, 0.1, 2.0):
        moment[0] += 1
        clock.heard(5_000 + moment[0] - delay, moment[0])
    assert clock.now() == pytest.approx(5_000 + moment[0] - 0.1)


def test_the_time_goes_on_while_the_drain_is_away(moment: list[float]) -> None:
    clock = DrainClock()
    clock.heard(5_000.0, moment[0])
    moment[0] += 3_600
    assert clock.now() == pytest.approx(8_600)


def test_a_clock_that_is_set_forward_is_followed_at_once(moment: list[float]) -> None:
    clock = DrainClock()
    clock.heard(5_000.0, moment[0])
    clock.heard(9_000.0, moment[0])
    assert clock.now() == pytest.approx(9_000)


def test_a_clock_that_is_set_back_is_followed_after_ten_seconds(moment: list[float]) -> None:
    clock = DrainClock()
    clock.heard(9_000.0, moment[0])
    for _ in range(10):
        moment[0] += 1
        clock.heard(5_000.0 + moment[0], moment[0])
    assert clock.now() == pytest.approx(5_000 + moment[0])


def test_the_clock_of_this_machine_does_not_matter_once_the_drain_has_told_its_own(
    moment: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = DrainClock()
    clock.heard(5_000.0, moment[0])
    monkeypatch.setattr("gateway.state.drain.drain_clock.time.time", lambda: 0.0)
    assert clock.now() == pytest.approx(5_000)
