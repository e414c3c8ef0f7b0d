"""The pace of the drain, and what else is paced by the same rules."""

from flashsale.domain.pacing.limits import batch_of
from flashsale.domain.pacing.pacer import Pacer

__all__ = ["Pacer", "batch_of"]
