"""Which events an endpoint subscribes to."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.webhooks.event_types import (
    KNOWN,
    ORDER_TYPES,
    order_event_type,
    require_patterns,
    subscribes,
)
from flashsale.messages.events import EventStatus
from flashsale.messages.webhook_schemas import OrderWebhook


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("*", set(KNOWN)),
        ("order.*", set(ORDER_TYPES)),
        ("order.rejected", {"order.rejected"}),
        ("endpoint.*", {"endpoint.disabled"}),
    ],
)
def test_a_pattern_selects_types(pattern: str, selected: set[str]) -> None:
    require_patterns([pattern])
    assert {known for known in KNOWN if subscribes([pattern], known)} == selected


def test_each_event_of_an_order_has_a_known_type() -> None:
    statuses = get_args(EventStatus)
    assert {order_event_type(status) for status in statuses} == set(ORDER_TYPES)
    assert get_args(OrderWebhook.__annotations__["type"]) == ORDER_TYPES


@given(st.text())
def test_a_pattern_that_is_allowed_selects_something(pattern: str) -> None:
    try:
        require_patterns([pattern])
    except ChangeRefused:
        return
    assert any(subscribes([pattern], known) for known in KNOWN)


@pytest.mark.parametrize("patterns", [[], ["*"] * 21, ["order"], ["order.[a-z]*"], ["Order.*"]])
def test_wrong_patterns_are_refused(patterns: list[str]) -> None:
    with pytest.raises(ChangeRefused, match="event_types"):
        require_patterns(patterns)
