"""What the broker said of its queue holds for a moment."""

import time
from typing import cast

import pytest

from flashsale.broker import Broker
from gateway.state.backlog import Backlog
from gateway.state.queue_position import Line


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def backlog(now: list[float]) -> Backlog:
    """Of a queue of 2,000 at 2,000 a second, so that a fortieth is 25 ms."""
    followed = Backlog(cast("Broker", None), "orders", Line(2000))
    followed.ready = 2000
    return followed


def test_a_queue_that_nobody_found_full_is_asked(backlog: Backlog) -> None:
    assert not backlog.full
    assert not backlog.full


def test_a_refusal_holds_for_a_fortieth_of_the_queue(backlog: Backlog, now: list[float]) -> None:
    backlog.refused()
    now[0] += 0.024
    assert backlog.full


def test_a_short_queue_is_asked_sooner(backlog: Backlog, now: list[float]) -> None:
    backlog.ready = 400
    backlog.refused()
    now[0] += 0.006
    assert not backlog.full
