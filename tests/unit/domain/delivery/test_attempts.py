"""The attempts at a delivery: eight that count, pauses with full jitter, then its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.delivery.answers import Trouble, TryAgain, Undeliverable
from flashsale.domain.delivery.attempts import MOST_ATTEMPTS, Attempts, longest_pause

SERVER_ERROR = TryAgain("the receiver answers 500", trouble=Trouble.SERVER_ERROR)
REFUSED = TryAgain("the connection is refused", False, Trouble.CONNECTION_REFUSED)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_seven_pauses_are_drawn_from_0_to_a_bound_that_grows_from_100_ms_to_10_s(
    draws: list[float],
) -> None:
    attempts = Attempts()
    pauses = [attempts.fail(SERVER_ERROR, draw=lambda d=d: d) for d in draws]  # type: ignore[misc]
    bounds = [0.1, 0.215, 0.464, 1.0, 2.154, 4.642, 10.0]
    assert pauses == pytest.approx([d * b for d, b in zip(draws, bounds, strict=True)], rel=0.01)


def test_the_eighth_failure_is_the_last_and_tells_why() -> None:
    attempts = Attempts()
    for _ in range(MOST_ATTEMPTS - 1):
        assert isinstance(attempts.fail(REFUSED), float)
    assert attempts.fail(SERVER_ERROR) == Undeliverable(
        "8 attempts failed, the last: the receiver answers 500"
    )


def test_a_failure_that_does_not_count_is_never_the_last() -> None:
    attempts = Attempts(failed=MOST_ATTEMPTS - 1)
    pauses = [attempts.fail(REFUSED, counts=False, draw=lambda: 1.0) for _ in range(20)]
    assert pauses == [longest_pause(MOST_ATTEMPTS - 1)] * 20
    assert attempts.fail(REFUSED, draw=lambda: 1.0) == Undeliverable(
        "8 attempts failed, the last: the connection is refused"
    )
    assert Attempts().fail(REFUSED, counts=False, draw=lambda: 1.0) == pytest.approx(0.1)


def test_once_a_receiver_may_have_an_order_it_may_have_it_for_ever() -> None:
    attempts = Attempts()
    attempts.fail(REFUSED)
    assert not attempts.maybe_known
    attempts.fail(SERVER_ERROR)
    attempts.fail(REFUSED)
    assert attempts.maybe_known
