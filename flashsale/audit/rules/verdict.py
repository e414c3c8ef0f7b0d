"""The verdict on a sale: every rule, and what breaks it."""

from collections.abc import Iterable, Sequence

import msgspec

from flashsale.audit.history import Acked, Asked, Committed, Looked, Observation, Released
from flashsale.audit.rules.drains import Drains
from flashsale.audit.rules.effects import effects
from flashsale.audit.rules.evidence import Duty, Waiting
from flashsale.audit.rules.requests import Requests, doubled_and_invented, lost
from flashsale.audit.rules.states import States
from flashsale.ledger.holdings import Holdings

RULES = (
    *("lost", "invented", "doubled", "oversold", "over_limit", "books"),
    *("went_back", "acked_early", "over_rate", "effects"),
)
"""The names of the rules."""


class Seen:
    """What a history says, taken up in one pass."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self.observations = 0
        self.requests = Requests()
        self.states = States()
        self.drains = Drains()
        for observation in observations:
            self.observations += 1
            match observation:
                case Asked():
                    self.requests.add(observation)
                case Looked():
                    self.states.looked(observation)
                case Released():
                    self.drains.released(observation)
                case Committed():
                    self.states.committed(observation)
                    self.drains.committed(observation)
                case Acked():
                    self.drains.acked(observation)

    @property
    def skus(self) -> set[str]:
        """What is judged: the sales of which something was asked for."""
        return self.requests.skus()


class Verdict(msgspec.Struct, frozen=True):
    """What came of a sale: tries, ids answered with 202, decided orders; and what is wrong."""

    asked: int
    accepted: int
    orders: int
    confirmed: int
    violations: dict[str, list[str]]
    """A line each, by rule; every rule is there."""
    waiting: list[str]
    """What is not done yet, in words: with these it is too early to judge."""


def judge(
    seen: Seen, holdings: Holdings, waiting: Waiting, duties: Sequence[Duty], drain_rate: int
) -> Verdict:
    """Hold what was seen against what is left. `drain_rate` is in orders a second."""
    violations: dict[str, list[str]] = {rule: [] for rule in RULES}
    accepted = seen.requests.accepted()
    violations["lost"], undecided = lost(seen.requests, holdings.orders, waiting.orders)
    violations["doubled"], violations["invented"] = doubled_and_invented(
        seen.requests, holdings.orders
    )
    for rule, rows in holdings.broken.items():
        violations[rule] += rows
    violations["went_back"] = seen.states.went_back(
        holdings.orders, seen.requests.named() - accepted.keys()
    )
    violations["acked_early"] = seen.drains.acked_early()
    violations["over_rate"] = seen.drains.over_rate(drain_rate)
    violations["effects"], to_do = effects(holdings, duties, waiting.events)
    of_sales = [order for order in holdings.orders if order.sku or order.id in accepted]
    return Verdict(
        asked=seen.requests.asked,
        accepted=len(accepted),
        orders=len(of_sales),
        confirmed=sum(order.status == "confirmed" for order in of_sales),
        violations=violations,
        waiting=undecided + to_do,
    )
