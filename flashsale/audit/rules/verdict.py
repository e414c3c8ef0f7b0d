"""The verdict on a sale: the violations of each audit rule."""

from collections.abc import Iterable, Sequence

import msgspec

from flashsale.audit.history import (
    Acked,
    Committed,
    Observation,
    OrderAttempt,
    Released,
    StatusPoll,
)
from flashsale.audit.rules.deliveries import undelivered
from flashsale.audit.rules.drains import Drains
from flashsale.audit.rules.effects import effects
from flashsale.audit.rules.evidence import Backlog, ExpectedEffects
from flashsale.audit.rules.limits import Limits
from flashsale.audit.rules.requests import Requests, doubled_and_invented, lost
from flashsale.audit.rules.states import States
from flashsale.audit.rules.waiting_lists import WaitingLists
from flashsale.ledger.holdings import Holdings

RULES = (
    *("lost", "invented", "doubled", "oversold", "over_limit", "books"),
    *("went_back", "acked_early", "over_rate", "effects", "undelivered"),
    *("ended_once", "payments", "passed_over"),
)
"""The names of the rules."""


class HistorySummary:
    """The observations of a history, grouped by the rules that use them, in one pass."""

    def __init__(self, observations: Iterable[Observation], *, casefold: bool = False) -> None:
        """With `casefold` customers whose ids differ only in case are one, as for the gateways."""
        self.observations = 0
        self.requests = Requests(casefold=casefold)
        self.states = States()
        self.drains = Drains()
        self.waiting_lists = WaitingLists()
        for observation in observations:
            self.observations += 1
            match observation:
                case OrderAttempt():
                    self.requests.add(observation)
                case StatusPoll():
                    self.states.polled(observation)
                case Released():
                    self.drains.released(observation)
                    self.waiting_lists.released(observation)
                case Committed():
                    self.states.committed(observation)
                    self.drains.committed(observation)
                    self.waiting_lists.committed(observation)
                case Acked():
                    self.drains.acked(observation)

    @property
    def skus(self) -> set[str]:
        """Return the skus that were ordered: only their sales are judged."""
        return self.requests.skus()


class Verdict(msgspec.Struct, frozen=True):
    """The result of an audit: the counts of the sale, and every violation.

    `asked` counts orders sent, `accepted` the order ids answered with 202, `orders` the decided
    orders.
    """

    asked: int
    accepted: int
    orders: int
    confirmed: int
    violations: dict[str, list[str]]
    """The violations by rule, one line each. Every rule has an entry."""
    waiting: list[str]
    """Work that is not done yet, one line each. If there is any, it is too early to judge."""


def judge(
    seen: HistorySummary,
    holdings: Holdings,
    waiting: Backlog,
    duties: Sequence[ExpectedEffects],
    drain_rate: int,
    drain: str = "",
) -> Verdict:
    """Apply every rule.

    `drain_rate` is the limit in orders a second, unless an operator has changed that of `drain`.
    """
    violations: dict[str, list[str]] = {rule: [] for rule in RULES}
    accepted = seen.requests.accepted()
    violations["lost"], undecided = lost(seen.requests, holdings.orders, waiting.orders)
    violations["doubled"], violations["invented"] = doubled_and_invented(
        seen.requests, holdings.orders
    )
    for rule, rows in holdings.broken.items():
        violations[rule] += rows
    violations["went_back"] = seen.states.went_back(
        holdings.orders, seen.requests.order_ids() - accepted.keys()
    )
    violations["acked_early"] = seen.drains.acked_early()
    violations["over_rate"] = seen.drains.over_rate(
        Limits(drain_rate, (change for change in holdings.rate_changes if change.drain == drain)),
        holdings.commits,
    )
    violations["passed_over"] += seen.waiting_lists.passed_over(holdings.orders)
    violations["undelivered"], to_deliver = undelivered(holdings.undelivered, waiting.orders)
    violations["effects"], to_do = effects(holdings, duties, waiting.events)
    of_sales = [order for order in holdings.orders if order.sku or order.id in accepted]
    return Verdict(
        asked=seen.requests.attempts,
        accepted=len(accepted),
        orders=len(of_sales),
        confirmed=sum(order.status == "confirmed" for order in of_sales),
        violations=violations,
        waiting=undecided + _not_ended(holdings.overdue) + to_deliver + to_do,
    )


def _not_ended(holds: int) -> list[str]:
    return [f"{holds} holds are over, and the drain has not ended them"] if holds else []
