"""After a full queue, clients come back spread out."""

import time
from typing import cast

import pytest

from flashsale.broker import Broker
from gateway.intake.retry_after import RetryAfter
from gateway.state.backlog import Backlog
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.queue_position import QueuePosition
from gateway.state.stream_changes import StreamChanges


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def drain() -> KnownDrain:
    return KnownDrain(2000)


@pytest.fixture
def backlog(drain: KnownDrain) -> Backlog:
    """2,000 orders at 2,000 a second."""
    backlog = Backlog(cast("Broker", None), "orders", QueuePosition(drain), StreamChanges())
    backlog.ready = 2000
    return backlog


@pytest.fixture
def retry_after(backlog: Backlog, drain: KnownDrain, now: list[float]) -> RetryAfter:
    return RetryAfter(backlog, drain)


def test_many_refused_clients_are_spread_over_the_time_that_they_need(
    retry_after: RetryAfter, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    assert retry_after.count_refusal() == pytest.approx(1 + 1 + 1 / 2000)
    for _ in range(3999):
        last = retry_after.count_refusal()
    assert last == pytest.approx(1 + 1 + 4000 / 2000)
    now[0] += 0.1  # a tenth of them is forgotten
    assert retry_after.count_refusal() == pytest.approx(1 + 1 + 3601 / 2000)
    now[0] += 3600
    assert retry_after.count_refusal() == pytest.approx(1 + 1 + 1 / 2000)


def test_no_client_is_told_to_stay_away_for_more_than_30_seconds(
    retry_after: RetryAfter, backlog: Backlog
) -> None:
    backlog.ready = 1_000_000
    assert retry_after.count_refusal() == 30


def test_clients_stay_away_until_a_drain_that_takes_nothing_goes_on(
    retry_after: RetryAfter, drain: KnownDrain
) -> None:
    assert retry_after.count_refusal() < 4
    drain.announced(2000, 1, 2000, "receiver", time.time() + 20)
    assert 20 <= retry_after.count_refusal() < 25
    drain.announced(2000, 2000, 2000, None, None)
    assert retry_after.count_refusal() < 4
