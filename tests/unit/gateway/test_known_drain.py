"""The time by which a gateway opens and closes sales: never ahead of the drain's."""

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
