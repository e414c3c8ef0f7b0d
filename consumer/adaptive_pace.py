"""The pace of a drain whose rate follows the speed of the database."""

import logging
import time
from typing import TYPE_CHECKING

import structlog

from consumer.drain_control import DrainControl
from flashsale.domain.adaptive_rate import (
    RATE_REASONS,
    AdaptiveRate,
    BatchSeen,
    Failure,
    lower_of,
)
from flashsale.ledger import DrainLease, LedgerBusy, LedgerError, StatementCancelled

if TYPE_CHECKING:
    from flashsale.observability.consumer_metrics import ConsumerMetrics

log = structlog.get_logger()


class AdaptivePace:
    """Tells the rule of each transaction, and the drain and its lease of the rule's decisions.

    A new rate holds from the next batch on: a batch that is repeated was released as a whole.
    """

    def __init__(self, target: float, control: DrainControl, metrics: "ConsumerMetrics") -> None:
        """`target` is the duration in seconds that the transaction of a batch may take."""
        self._target = target
        self._rule = AdaptiveRate(target)
        self._control = control
        self._metrics = metrics
        self._ended: list[tuple[float, float, int]] = []
        self._kept_by_lease = True
        metrics.transaction_target_seconds.set(target)

    def begin(self, lease: DrainLease) -> None:
        """Go on with the rate that the drain before has kept."""
        kept = lease.kept_rate
        if not self._kept_by_lease:
            # This drain lost its session before it could write the last decision.
            kept = lower_of(kept, self._rule.kept)
        self._rule.resume(kept)
        self._ended.clear()
        self._apply(lease)

    def committed(self, seconds: float, orders: int) -> None:
        """Note a transaction of the batch in hand."""
        self._ended.append((time.monotonic(), seconds, orders))

    def failed(self, error: LedgerError, seconds: float) -> None:
        """Note that a transaction has failed after so many seconds."""
        why: Failure
        if isinstance(error, LedgerBusy):
            why = "busy"
        elif seconds > self._target or isinstance(error, StatementCancelled):
            why = "timeout"
        else:
            return  # a session that was ended says nothing about the speed
        self._rule.failed(time.monotonic(), why, self._control.cap)
        self._kept_by_lease = False

    def settled(self, lease: DrainLease, held_back: bool, waiting: bool) -> None:
        """Take in the batch in hand, and follow the rule.

        `held_back`: more orders were at hand when it was released. `waiting`: orders wait now.
        """
        written = lease.kept_rate
        cap = self._control.cap
        for ended_at, seconds, orders in self._ended:
            self._rule.batch(BatchSeen(ended_at, seconds, orders, held_back, waiting), cap)
        self._ended.clear()
        self._apply(lease)
        self._kept_by_lease = self._rule.kept == written

    def _apply(self, lease: DrainLease) -> None:
        rule, control = self._rule, self._control
        lease.kept_rate = rule.kept
        before, reason = control.rate, rule.reason(control.cap)
        control.adapt(rule.kept, reason)
        self._metrics.transaction_p90_seconds.set(rule.p90)
        for each in RATE_REASONS:
            self._metrics.rate_reason.labels(each).set(each == reason)
        if control.rate != before:
            log.log(
                # A recovery has many small steps; only its end is of interest.
                logging.DEBUG if reason == "recovering" else logging.INFO,
                "the rate follows the database",
                rate=control.rate,
                cap=control.cap,
                reason=reason,
                p90_seconds=round(rule.p90, 4),
            )
