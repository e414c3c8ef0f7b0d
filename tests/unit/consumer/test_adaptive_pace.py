"""What the drain tells the rule of its rate, and what it keeps of the rule's decisions."""

import pytest

from consumer.adaptive_pace import AdaptivePace
from consumer.drain_control import DrainControl
from flashsale.ledger import LedgerBusy, LedgerError, LedgerUnavailable, StatementCancelled
from flashsale.observability.consumer_metrics import ConsumerMetrics
from tests.model.quick_ledger import QuickLease, QuickLedger

TARGET = 0.05


@pytest.fixture
def lease() -> QuickLease:
    return QuickLease(QuickLedger([]))


@pytest.fixture
def control() -> DrainControl:
    return DrainControl(2000)


@pytest.fixture
def metrics() -> ConsumerMetrics:
    return ConsumerMetrics()


@pytest.fixture
def pace(control: DrainControl, metrics: ConsumerMetrics, lease: QuickLease) -> AdaptivePace:
    pace = AdaptivePace(TARGET, control, metrics)
    pace.begin(lease)
    return pace


def settle(pace: AdaptivePace, lease: QuickLease) -> None:
    """Commit a batch, which writes what the lease keeps, and settle it."""
    pace.committed(0.001, 50)
    pace.settled(lease, held_back=True, waiting=True)


@pytest.mark.parametrize(
    ("error", "seconds", "reason"),
    [
        (LedgerBusy("deadlock detected"), 0.001, "busy"),
        (LedgerUnavailable("connection reset"), 1.0, "timeout"),
        (StatementCancelled("statement timeout"), 0.001, "timeout"),
        (LedgerUnavailable("the lease of this drain is lost"), 0.001, "cap"),
    ],
)
def test_a_batch_that_the_database_did_not_bear_halves_the_rate_from_the_next_batch_on(
    pace: AdaptivePace,
    control: DrainControl,
    metrics: ConsumerMetrics,
    lease: QuickLease,
    error: LedgerError,
    seconds: float,
    reason: str,
) -> None:
    pace.failed(error, seconds)
    assert control.rate == 2000, "the batch in hand was released as a whole"
    settle(pace, lease)
    halved = reason != "cap"
    assert control.rate == (1000 if halved else 2000)
    assert lease.kept_rate == (1000 if halved else None)
    assert control.reason == reason
    sample = metrics.registry.get_sample_value
    assert sample("flashsale_drain_rate_reason", {"reason": reason}) == 1
    assert sample("flashsale_drain_rate_reason", {"reason": "slow"}) == 0
    assert sample("flashsale_transaction_target_seconds") == TARGET


def test_a_drain_goes_on_with_the_rate_of_the_drain_before(
    pace: AdaptivePace, control: DrainControl, lease: QuickLease
) -> None:
    settle(pace, lease)
    lease.kept_rate = 700.5
    pace.begin(lease)
    assert (control.rate, control.reason) == (700, "inherited")
    assert lease.kept_rate == 700.5


def test_a_drain_that_lost_its_session_goes_on_with_what_it_could_not_write(
    pace: AdaptivePace, control: DrainControl, lease: QuickLease
) -> None:
    pace.failed(LedgerUnavailable("connection reset"), 1.0)
    next_lease = QuickLease(QuickLedger([]))
    pace.begin(next_lease)
    assert (control.rate, control.reason) == (1000, "timeout")
    assert next_lease.kept_rate == 1000
    for _ in range(2):
        settle(pace, next_lease)
    recovered = QuickLease(QuickLedger([]))
    recovered.kept_rate = 1500.0
    pace.begin(recovered)
    assert control.rate == 1500, "another drain has raised it since"
