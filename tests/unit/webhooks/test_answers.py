"""What the answer of an endpoint means for a delivery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.webhooks.deliveries import LONGEST_ERROR, AttemptResult, Claimed
from flashsale.domain.webhooks.schedule import RETRY_SECONDS
from services.builtin.webhook.answers import Answer, attempt_of

BEGAN, NOW = 1_000.0, 1_000.5


def a_delivery(attempts: int = 0, event_type: str = "order.confirmed") -> Claimed:
    return Claimed(
        id=1,
        claim="c",
        endpoint_id="e",
        url="https://shop.example/",
        secrets=(),
        event_id="1",
        type=event_type,
        order_id=None,
        occurred_at=1.0,
        body="{}",
        traceparent=None,
        attempts=attempts,
    )


@given(st.integers(100, 599), st.integers(0, 9), st.none() | st.text())
def test_each_answer_has_one_result(status: int, attempts: int, retry_after: str | None) -> None:
    attempt = attempt_of(a_delivery(attempts), Answer(status, retry_after), BEGAN, NOW, 0.0)
    if 200 <= status < 300:
        expected = AttemptResult.DELIVERED
    elif status == 410:
        expected = AttemptResult.GONE
    elif attempts >= len(RETRY_SECONDS):
        expected = AttemptResult.DEAD
    else:
        expected = AttemptResult.FAILED
    assert attempt.result is expected
    assert (attempt.retry_at is not None) == (expected is AttemptResult.FAILED)
    assert (attempt.error is None) == (expected is AttemptResult.DELIVERED)
    assert len(attempt.error or "") <= LONGEST_ERROR
    assert (attempt.started_at, attempt.milliseconds) == (BEGAN, 500)
    if attempt.pause_until is not None:
        assert status in (429, 503)
        assert NOW < attempt.pause_until <= NOW + 3_600


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("120", 120.0),
        ("1", 1.0),
        ("0", None),
        ("Thu, 01 Jan 1970 00:17:40 GMT", 1_060 - NOW),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("99999999", 3_600.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_pauses_the_endpoint_and_its_delivery(
    status: int, header: str, pause: float | None
) -> None:
    attempt = attempt_of(a_delivery(), Answer(status, header), BEGAN, NOW, 0.0)
    assert attempt.result is AttemptResult.FAILED
    assert attempt.pause_until == (None if pause is None else pytest.approx(NOW + pause))
    assert attempt.retry_at == pytest.approx(NOW + max(pause or 0, 5.0))


def test_retry_after_of_another_answer_does_not_count() -> None:
    attempt = attempt_of(a_delivery(), Answer(500, "120"), BEGAN, NOW, 0.0)
    assert (attempt.pause_until, attempt.retry_at) == (None, NOW + 5)


def test_a_test_event_is_tried_once() -> None:
    attempt = attempt_of(a_delivery(0, "webhook.test"), Answer(500), BEGAN, NOW, 0.0)
    assert (attempt.result, attempt.retry_at) == (AttemptResult.DEAD, None)


def test_an_attempt_without_an_answer_says_why() -> None:
    attempt = attempt_of(a_delivery(), Answer(error="no answer within 15 s"), BEGAN, NOW, 0.0)
    assert (attempt.result, attempt.status, attempt.error) == (
        AttemptResult.FAILED,
        None,
        "no answer within 15 s",
    )


def test_a_clock_that_goes_back_makes_no_time_below_zero() -> None:
    assert attempt_of(a_delivery(), Answer(200), NOW, BEGAN, 0.0).milliseconds == 0
