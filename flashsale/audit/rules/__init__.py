"""Were the promises kept? The rules that a history and what is left of the sale are held against.

They do no I/O: `Seen` is made of a history's observations, `Holdings` come from the ledger,
`Waiting` from the broker.
"""

from flashsale.audit.rules.evidence import Duty, Waiting
from flashsale.audit.rules.verdict import RULES, Seen, Verdict, judge
from flashsale.ledger.holdings import Decided, Holdings, Tally

__all__ = ["RULES", "Decided", "Duty", "Holdings", "Seen", "Tally", "Verdict", "Waiting", "judge"]
