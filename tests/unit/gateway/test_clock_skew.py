"""The skew of a gateway's clock: the least that announcements show counts, as the rest is delay."""

import pytest

from gateway.state.drain.clock_skew import ClockSkew


def test_the_skew_is_unknown_until_the_drain_has_told_its_time() -> None:
    assert ClockSkew().seconds(now=0) is None


def test_delays_of_announcements_are_not_taken_for_skew() -> None:
    skew = ClockSkew()
    for second, delay in enumerate((0.4, 0.002, 3.0, 0.05)):
        skew.heard(told_at=1000 + second, heard_at=1060 + second + delay, now=second)
    assert skew.seconds(now=4) == pytest.approx(60.002)


def test_a_clock_that_is_behind_has_a_skew_below_zero() -> None:
    skew = ClockSkew()
    skew.heard(told_at=1060, heard_at=1000.5, now=0)
    skew.heard(told_at=1061, heard_at=1001.25, now=1)
    assert skew.seconds(now=1) == -59.75


def test_a_skew_is_forgotten_after_half_a_minute() -> None:
    skew = ClockSkew()
    skew.heard(told_at=1000, heard_at=1000, now=9)
    skew.heard(told_at=1015, heard_at=1075, now=15)
    assert skew.seconds(now=29.9) == 0
    assert skew.seconds(now=30) == 60
    assert skew.seconds(now=40) is None
