"""The adaptive rate: how the rate of a drain follows the speed of the database."""

from flashsale.domain.adaptive_rate.batches import BatchSeen, BatchWindow
from flashsale.domain.adaptive_rate.rule import (
    RATE_REASONS,
    AdaptiveRate,
    Failure,
    RateReason,
    lower_of,
    rate_within,
)

__all__ = [
    "RATE_REASONS",
    "AdaptiveRate",
    "BatchSeen",
    "BatchWindow",
    "Failure",
    "RateReason",
    "lower_of",
    "rate_within",
]
