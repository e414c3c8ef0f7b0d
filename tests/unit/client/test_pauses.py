"""The pauses of the client."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.client.pauses import Patience, Pauses, retry_after_seconds

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 0 ", 0.0),
        ("0.25", 0.25),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize("header", [None, "", "soon", "-1", "nan", "inf", "1e9", "9" * 30, "٣"])
def test_a_retry_after_that_can_not_be_read_asks_for_nothing(header: str | None) -> None:
    assert retry_after_seconds(header, NOW) is None


@given(st.text())
def test_no_retry_after_makes_the_client_fail(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0


def test_a_pause_is_never_shorter_than_asked_for_and_differs_between_clients() -> None:
    pauses = [Pauses().next(4.0) for _ in range(200)]
    assert min(pauses) >= 4.0
    assert max(pauses) <= 6.0
    assert max(pauses) - min(pauses) > 1.0


def test_pauses_that_nobody_asks_for_grow_up_to_ten_seconds() -> None:
    its = Pauses()
    pauses = [its.next(None) for _ in range(20)]
    assert 0.25 <= pauses[0] <= 0.5
    assert 5 <= pauses[-1] <= 10


def test_a_server_that_asks_for_no_pause_is_not_asked_in_a_tight_loop() -> None:
    assert Pauses().next(0.0) >= 0.25


def test_a_patience_that_is_over_has_nothing_left() -> None:
    assert Patience(-1).left == 0.0
    assert not Patience(1).allows(1.5)
    assert Patience(60).allows(1.5)
