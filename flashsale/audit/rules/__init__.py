"""The audit rules: compare a history of the sale with what the ledger and the queues hold.

The rules do no I/O. `HistorySummary` is built from a history's observations, `Holdings` come from
the ledger, `Backlog` from the broker.
"""

from flashsale.audit.rules.evidence import Backlog, ExpectedEffects
from flashsale.audit.rules.verdict import RULES, HistorySummary, Verdict, judge
from flashsale.ledger.holdings import Decided, Holdings, Tally

__all__ = [
    "RULES",
    "Backlog",
    "Decided",
    "ExpectedEffects",
    "HistorySummary",
    "Holdings",
    "Tally",
    "Verdict",
    "judge",
]
