"""The time by which a gateway opens and closes sales, and the rate that it tells."""

import time

import pytest

from gateway.state.drain.known_drain import KnownDrain


@pytest.mark.parametrize(("ahead", "corrected"), [(0.3, 0), (0.6, 0.6), (60, 60), (-60, 0)])
def test_a_gateway_that_is_ahead_counts_with_the_time_of_the_drain(
    ahead: float, corrected: float
) -> None:
    assert abs(KnownDrain(100).now() - time.time()) < 0.1
    drain = KnownDrain(100)
    now = time.time()
    drain.clock_skew.heard(now - ahead, now, time.monotonic())
    assert abs(drain.now() - (time.time() - corrected)) < 0.1


def test_a_gateway_that_has_heard_no_time_for_long_counts_with_its_own() -> None:
    drain = KnownDrain(100)
    now = time.time()
    drain.clock_skew.heard(now - 60, now, time.monotonic() - 40)
    assert abs(drain.now() - time.time()) < 0.1


def test_the_rate_is_what_the_drain_has_announced_and_below_the_cap_while_it_adapts() -> None:
    drain = KnownDrain(2000)
    drain.announced(580.0, 600, 2000, "slow")
    assert (drain.drain_rate, drain.rate_cap, drain.rate_reason) == (600, 2000, "slow")
    drain.set_controls(False, 1000)
    assert (drain.drain_rate, drain.rate_cap) == (600, 1000)
    drain.set_controls(False, 500)
    assert (drain.drain_rate, drain.rate_cap) == (500, 500)
    drain.announced(480.0, 500, 500, "cap")
    drain.set_controls(False, None)
    assert (drain.drain_rate, drain.rate_cap) == (2000, 2000)


def test_a_drain_that_tells_no_cap_is_at_it() -> None:
    drain = KnownDrain(100)
    drain.announced(90.0, 200)
    assert (drain.drain_rate, drain.rate_cap, drain.rate_reason) == (200, 200, None)
    drain.set_controls(False, 50)
    assert (drain.drain_rate, drain.rate_cap) == (50, 50)
    drain.set_controls(False, None)
    assert drain.drain_rate == 200


def test_the_end_of_a_pause_is_by_the_clock_of_the_drain() -> None:
    drain = KnownDrain(2000)
    told_at = time.time() + 3600  # a clock that is an hour ahead of this machine's
    drain.clock.heard(told_at, time.monotonic())
    drain.announced(2000, 2000, resumes_at=told_at + 20)
    assert 15 < drain.resumes_in <= 20
