"""The audit finds no violation in a correct sale, and each violation by its rule."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.audit.history import (
    Acked,
    Committed,
    Observation,
    OrderAttempt,
    Released,
    StatusPoll,
)
from flashsale.audit.rules import RULES, Backlog, ExpectedEffects, HistorySummary, Verdict, judge
from flashsale.audit.rules.drains import Release, bursts
from flashsale.ledger.holdings import Decided, Holdings, RateChange, Tally

RATE = 10
STOCK = 10
OTHER = "http://other"
POINTS = 10


def an_id(number: int) -> str:
    return f"{number:032x}"


def asked(number: int, at: float, status: int = 202, **changes: object) -> OrderAttempt:
    fields: dict[str, object] = {
        "sku": "tv",
        "customer": f"c-{number}",
        "key": f"key-{number}",
        "body": "hash",
        "order_id": an_id(number) if status == 202 else "",
        "problem": "" if status in (0, 202) else "some-problem",
        "by": "http://gateway",
    }
    return OrderAttempt(at, 0.01, status=status, **(fields | changes))  # type: ignore[arg-type]


def looked(
    number: int, at: float, state: str, status: int = 200, by: str = "http://gw"
) -> StatusPoll:
    return StatusPoll(at, 0.01, an_id(number), status, state, by)


@dataclass
class Sale:
    """Evidence of a sale. Twenty orders of a stock of ten, decided in batches of five."""

    history: list[Observation] = field(default_factory=list)
    orders: list[Decided] = field(default_factory=list)
    broken: dict[str, list[str]] = field(default_factory=dict)
    effects: dict[str, list[str]] = field(default_factory=dict)
    unsent: set[str] = field(default_factory=set)
    commits: list[tuple[float, int]] = field(default_factory=list)
    rate_changes: list[RateChange] = field(default_factory=list)
    ranked: dict[tuple[str, str], int] = field(default_factory=dict)
    points: dict[tuple[str, str], int] = field(default_factory=dict)
    undelivered: set[str] = field(default_factory=set)
    waiting: Backlog = field(default_factory=Backlog)

    def verdict(self) -> Verdict:
        confirmed = [order for order in self.orders if order.status == "confirmed"]
        ranked = {("tv", order.customer): 1 for order in confirmed}
        points = {("", order.customer): 1 for order in confirmed}
        holdings = Holdings(
            self.orders,
            self.broken,
            self.effects,
            frozenset(self.unsent),
            {"ranking": Tally(self.ranked, ranked), "loyalty": Tally(self.points, points)},
            self.commits,
            self.rate_changes,
            frozenset(self.undelivered),
        )
        duties = [
            ExpectedEffects("mail", lambda topic: True),
            ExpectedEffects("ranking", lambda topic: topic.startswith("order.confirmed.")),
            ExpectedEffects("loyalty", lambda topic: topic.startswith("order.confirmed."), POINTS),
        ]
        return judge(HistorySummary(self.history), holdings, self.waiting, duties, RATE, "orders")

    def broken_rules(self) -> set[str]:
        return {rule for rule, lines in self.verdict().violations.items() if lines}

    def decide(self, number: int, status: str) -> None:
        """Record a correct order in ledger and services."""
        order = Decided(an_id(number), "tv", f"c-{number}", 1, status)
        self.orders.append(order)
        self.effects.setdefault("mail", []).append(order.id)
        if status == "confirmed":
            for service in ("ranking", "loyalty"):
                self.effects.setdefault(service, []).append(order.id)
            self.ranked["tv", order.customer] = 1
            self.points["", order.customer] = POINTS

    def forget(self, number: int) -> None:
        """Remove an order from ledger and services."""
        order = self.order(number)
        self.orders.remove(order)
        for done in self.effects.values():
            if order.id in done:
                done.remove(order.id)
        self.ranked.pop(("tv", order.customer), None)
        self.points.pop(("", order.customer), None)

    def order(self, number: int) -> Decided:
        return next(order for order in self.orders if order.id == an_id(number))

    def change(self, number: int, **changes: object) -> None:
        self.orders[self.orders.index(self.order(number))] = self.order(number)._replace(
            **changes  # type: ignore[arg-type]
        )


def a_right_sale() -> Sale:
    """A correct sale with every unusual case that is no violation."""
    sale = Sale()
    for number in range(20):
        at = 100 + number / 10
        status = "confirmed" if number < STOCK else "rejected"
        if number % 5 == 0:  # cut off, and asked again
            sale.history.append(asked(number, at - 0.05, 0))
        if number % 7 == 0:
            sale.history.append(asked(number, at - 0.03, 503, problem="queue-full"))
        sale.history.append(asked(number, at))
        sale.history.append(looked(number, at + 0.02, "queued"))
        sale.history.append(looked(number, at + 3, status))
        sale.history.append(looked(number, at + 3, "queued", by=OTHER))  # has not heard yet
        sale.history.append(looked(number, at + 4, status, by=OTHER))
        sale.decide(number, status)
    for batch in range(4):
        ids = [an_id(number) for number in range(5 * batch, 5 * batch + 5)]
        at, drain = 101 + batch / 2, batch % 2
        sale.commits.append((1_800_000_000 + at, 5))
        states = {order_id: "confirmed" if batch < 2 else "rejected" for order_id in ids}
        sale.history += [
            Released(at, 5, drain),
            Committed(at + 0.01, drain, states),
            Acked(at + 0.01, drain, [*ids, "not-readable"]),
        ]
    # Two attempts without an answer, one of which made an order, and a refusal, which made none.
    sale.history += [asked(30, 103, 0), asked(31, 103, 0), asked(32, 103, 409)]
    sale.decide(30, "rejected")
    # An order id in an answer of unknown outcome, and an attempt without an id.
    sale.history += [asked(33, 103, 503, order_id=an_id(33)), asked(34, 103, 500)]
    sale.decide(33, "rejected")
    # An unreadable message of some sale, another sale, and what an operator had tried again.
    sale.orders.append(Decided(an_id(40), "", "", 0, "failed"))
    sale.orders.append(Decided(an_id(41), "radio", "c", 1, "failed"))
    sale.history += [asked(42, 103), Committed(104, 0, {an_id(42): "failed"})]
    sale.history += [looked(42, 105, "failed"), looked(42, 106, "rejected")]
    sale.decide(42, "rejected")
    return sale


def test_a_right_sale_breaks_no_rule() -> None:
    verdict = a_right_sale().verdict()
    assert verdict.violations == {rule: [] for rule in RULES}
    assert verdict.waiting == []
    assert (verdict.accepted, verdict.orders, verdict.confirmed) == (21, 24, 10)
    assert verdict.asked == len([o for o in a_right_sale().history if isinstance(o, OrderAttempt)])


def _two_ids_for_a_key(sale: Sale) -> None:
    sale.history.append(asked(4, 103, order_id=an_id(50)))
    sale.decide(50, "rejected")
    sale.change(50, customer="c-4")


def _a_retry_became_another_order(sale: Sale) -> None:
    sale.decide(50, "rejected")
    sale.change(50, customer="c-5")  # who was cut off once, and then given an order


def _nobody_asked(sale: Sale) -> None:
    sale.decide(50, "rejected")


def _refused_but_ordered(sale: Sale) -> None:
    sale.decide(32, "rejected")


def _full_but_ordered(sale: Sale) -> None:
    sale.history.append(asked(50, 103, 503, problem="queue-full"))
    sale.decide(50, "rejected")


def _two_orders_of_one_unknown(sale: Sale) -> None:
    sale.history.append(asked(50, 103, 0, key=""))
    for number in (50, 51):
        sale.decide(number, "rejected")
        sale.change(number, customer="c-50")


def _for_somebody_else(sale: Sale) -> None:
    sale.change(12, customer="c-13")


def _one_order_for_two(sale: Sale) -> None:
    sale.history.append(asked(50, 103, order_id=an_id(12)))


def _lost(sale: Sale) -> None:
    sale.forget(12)


def _lost_while_fewer_wait(sale: Sale) -> None:
    sale.forget(12)
    sale.forget(13)
    sale.waiting = Backlog(1)


def _burst(sale: Sale) -> None:
    sale.history.append(Released(101.999, RATE, 7))


def _burst_over_two_drains(sale: Sale) -> None:
    sale.history += [Released(110, RATE, 1), Released(110.999, 1, 2)]


def _burst_of_commits(sale: Sale) -> None:
    sale.commits += [(1_800_000_200.0, RATE), (1_800_000_200.9, 1)]


def _commits_over_a_lowered_rate(sale: Sale) -> None:
    sale.rate_changes.append(RateChange(1_800_000_200.0, "orders", RATE // 2))
    sale.commits.append((1_800_000_200.5, RATE // 2 + 1))


def _early_ack(sale: Sale) -> None:
    sale.history.append(Acked(100.9, 0, [an_id(0)]))


def _acked_and_never_committed(sale: Sale) -> None:
    sale.history.append(Acked(110, 0, [an_id(60)]))


def _queued_again(sale: Sale) -> None:
    sale.history.append(looked(3, 104, "queued"))


def _unknown_again(sale: Sale) -> None:
    sale.history.append(looked(3, 104, "", 404))


def _told_otherwise(sale: Sale) -> None:
    sale.history.append(looked(3, 104, "rejected", by="http://third"))


def _committed_otherwise(sale: Sale) -> None:
    sale.history.append(Committed(110, 9, {an_id(3): "rejected"}))


def _ledger_says_otherwise(sale: Sale) -> None:
    sale.history.append(looked(30, 104, "confirmed", by="http://third"))


def _failed_by_nobody(sale: Sale) -> None:
    sale.history.append(looked(31, 104, "failed"))
    sale.decide(31, "rejected")


def _failed_after_all(sale: Sale) -> None:
    sale.change(12, status="failed")
    sale.effects["mail"].remove(an_id(12))


def _gone_after_it_was_told(sale: Sale) -> None:
    sale.history.append(looked(33, 104, "rejected"))
    sale.forget(33)


def _effect_twice(sale: Sale) -> None:
    sale.effects["mail"].append(an_id(3))


def _effect_missing(sale: Sale) -> None:
    sale.effects["loyalty"].remove(an_id(3))


def _effect_missing_while_others_are_unsent(sale: Sale) -> None:
    sale.effects["mail"].remove(an_id(3))
    sale.effects["mail"].remove(an_id(4))
    sale.unsent = {an_id(3)}


def _effect_for_a_rejected_order(sale: Sale) -> None:
    sale.effects["ranking"].append(an_id(12))


def _effect_of_no_order(sale: Sale) -> None:
    sale.effects["mail"].append(an_id(70))


def _ranked_twice(sale: Sale) -> None:
    sale.ranked["tv", "c-3"] = 2


def _no_points(sale: Sale) -> None:
    del sale.points["", "c-3"]


def _points_for_nothing(sale: Sale) -> None:
    sale.points["", "c-12"] = POINTS


def _never_delivered(sale: Sale) -> None:
    sale.undelivered = {an_id(3)}


def _more_undelivered_than_wait(sale: Sale) -> None:
    sale.undelivered = {an_id(3), an_id(4)}
    sale.waiting = Backlog(1)


WRONGS: list[tuple[str, Callable[[Sale], None]]] = [
    ("lost", _lost),
    ("lost", _lost_while_fewer_wait),
    ("lost", _one_order_for_two),
    ("invented", _nobody_asked),
    ("invented", _refused_but_ordered),
    ("invented", _full_but_ordered),
    ("invented", _two_orders_of_one_unknown),
    ("invented", _for_somebody_else),
    ("doubled", _two_ids_for_a_key),
    ("doubled", _a_retry_became_another_order),
    ("went_back", _queued_again),
    ("went_back", _unknown_again),
    ("went_back", _told_otherwise),
    ("went_back", _committed_otherwise),
    ("went_back", _ledger_says_otherwise),
    ("went_back", _failed_by_nobody),
    ("went_back", _failed_after_all),
    ("went_back", _gone_after_it_was_told),
    ("acked_early", _early_ack),
    ("acked_early", _acked_and_never_committed),
    ("over_rate", _burst),
    ("over_rate", _burst_over_two_drains),
    ("over_rate", _burst_of_commits),
    ("over_rate", _commits_over_a_lowered_rate),
    ("effects", _effect_twice),
    ("effects", _effect_missing),
    ("effects", _effect_missing_while_others_are_unsent),
    ("effects", _effect_for_a_rejected_order),
    ("effects", _effect_of_no_order),
    ("effects", _ranked_twice),
    ("effects", _no_points),
    ("effects", _points_for_nothing),
    ("undelivered", _never_delivered),
    ("undelivered", _more_undelivered_than_wait),
]


@pytest.mark.parametrize(("rule", "wrong"), WRONGS, ids=[w.__name__[1:] for _, w in WRONGS])
def test_a_violation_is_caught_by_its_rule_and_by_no_other(
    rule: str, wrong: Callable[[Sale], None]
) -> None:
    sale = a_right_sale()
    wrong(sale)
    assert sale.broken_rules() == {rule}
    assert sale.verdict().waiting == []


@pytest.mark.parametrize("rule", ["oversold", "over_limit", "books"])
def test_a_broken_row_of_the_books_is_a_violation_of_its_rule(rule: str) -> None:
    sale = a_right_sale()
    sale.broken[rule] = ["a row"]
    assert sale.verdict().violations[rule] == ["a row"]
    assert sale.broken_rules() == {rule}


def test_missing_orders_that_may_be_queued_are_waiting_and_not_lost() -> None:
    sale = a_right_sale()
    sale.forget(12)
    sale.forget(13)
    sale.waiting = Backlog(2)
    assert sale.broken_rules() == set()
    assert sale.verdict().waiting == ["2 accepted orders are not decided, 2 wait"]


def test_deliveries_that_may_go_on_are_waiting_and_no_violations() -> None:
    sale = a_right_sale()
    sale.undelivered = {an_id(3), an_id(4)}
    sale.waiting = Backlog(2)
    assert sale.broken_rules() == set()
    assert sale.verdict().waiting == ["2 confirmed orders are not delivered, 2 wait"]


def test_missing_effects_that_may_be_queued_are_waiting_and_no_violations() -> None:
    sale = a_right_sale()
    sale.effects["mail"].remove(an_id(3))
    sale.effects["mail"].remove(an_id(4))
    sale.unsent = {an_id(3)}
    sale.waiting = Backlog(0, {"mail": 1})
    assert sale.broken_rules() == set()
    assert sale.verdict().waiting == [
        "mail has 2 events to do, 1 of them unsent and 1 in its queues"
    ]


def test_overlapping_status_polls_have_no_order() -> None:
    sale = a_right_sale()
    # A poll that was sent before the answer to another one, and answered long after it.
    sale.history.append(msgspec.structs.replace(looked(3, 103.305, "queued"), seconds=5.0))
    assert sale.broken_rules() == set()


def test_a_customer_whose_id_was_typed_in_another_form_is_the_same() -> None:
    sale = a_right_sale()
    for typed in (" c-3", "c-3 "):
        sale.history.append(asked(3, 104, customer=typed))
    assert sale.broken_rules() == set()
    sale.history.append(asked(3, 105, customer="C-3"))
    assert sale.broken_rules() == {"lost"}
    holdings = Holdings(sale.orders)
    folded = judge(HistorySummary(sale.history, casefold=True), holdings, Backlog(), [], RATE)
    assert folded.violations["lost"] == []


def test_the_verdict_of_an_empty_history_has_every_rule() -> None:
    verdict = judge(HistorySummary([]), Holdings(), Backlog(), [], RATE)
    assert tuple(verdict.violations) == RULES
    assert not any(verdict.violations.values())


def test_services_that_are_not_chosen_are_not_judged() -> None:
    sale = a_right_sale()
    sale.effects = {}
    holdings = Holdings(sale.orders)
    assert (
        judge(HistorySummary(sale.history), holdings, Backlog(), [], RATE).violations["effects"]
        == []
    )


def test_a_burst_is_reported_by_its_start_and_count() -> None:
    sale = a_right_sale()
    sale.history += [Released(200.5, 8, 1), Released(201.25, 4, 2), Released(201.5, 7, 1)]
    assert sale.verdict().violations["over_rate"] == [
        "12 orders in the second from 200.500000, limit 10"
    ]


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ([], False),
        ([(200.0, 2 * RATE)], True),
        ([(200.9, 2 * RATE)], True),
        ([(199.0, 2 * RATE), (200.5, None)], True),
        ([(199.0, 2 * RATE), (200.0, None)], False),
        ([(201.1, 2 * RATE)], False),
    ],
)
def test_a_second_may_have_the_highest_rate_in_force_during_it(
    changes: list[tuple[float, int | None]], kept: bool
) -> None:
    sale = a_right_sale()
    sale.rate_changes = [RateChange(at, "orders", rate) for at, rate in changes]
    sale.rate_changes.append(RateChange(0.0, "another drain", 1000))
    sale.commits = [(200.1, 2 * RATE)]
    assert ("over_rate" not in sale.broken_rules()) is kept


def test_a_steady_rate_with_rounded_moments_is_no_burst() -> None:
    assert bursts([(0.0995 + n * 0.025, 5) for n in range(200)], lambda _: 200) == []


# Quarters of a second are exact in binary, so that a window can end exactly at a release.
RELEASES = st.lists(
    st.tuples(
        st.integers(0, 24).map(lambda n: n / 4) | st.floats(0, 6),
        st.integers(min_value=1, max_value=9),
    ),
    max_size=30,
)


def in_second_from(releases: list[Release], start: float) -> int:
    return sum(count for at, count in releases if at >= start and at - start < 1 - 1e-9)


@given(RELEASES, st.integers(0, 30))
def test_bursts_equal_those_of_a_count_of_every_window(releases: list[Release], rate: int) -> None:
    worst = max((in_second_from(releases, at) for at, _ in releases), default=0)
    found = bursts(releases, lambda _: rate)
    assert bool(found) == (worst > rate)
    assert all(in_second_from(releases, at) == count > rate for at, count in found)
    if found:
        assert max(count for _, count in found) == worst
