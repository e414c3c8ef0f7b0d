"""The audit of sales with holds: states that follow each other, and several events of an order."""

import pytest

from flashsale.audit.history import Committed, Observation, Released, StatusPoll
from flashsale.audit.rules import Backlog, ExpectedEffects, HistorySummary, judge
from flashsale.ledger.holdings import Decided, Holdings
from tests.unit.audit.test_rules import an_id, asked, looked


def judged(history: list[Observation], holdings: Holdings, *topics: str) -> dict[str, list[str]]:
    """The violations, for a service that wants these topics."""
    wants = ExpectedEffects("mail", lambda topic: topic.startswith(topics))
    found = judge(HistorySummary(history), holdings, Backlog(), [wants], 10)
    return {rule: lines for rule, lines in found.violations.items() if lines}


def ledger(status: str, *earlier: str, done: int = 0) -> Holdings:
    """A ledger with one order, of which a service has done so many events."""
    order = Decided(an_id(1), "tv", "c-1", 1, status, earlier)
    return Holdings([order], effects={"mail": [order.id] * done})


def told(*states: str, by: str = "http://gw") -> list[Observation]:
    polls: list[StatusPoll] = [
        looked(1, 101.0 + number, state, by=by) for number, state in enumerate(states)
    ]
    return [asked(1, 100), *polls]


@pytest.mark.parametrize(
    "states",
    [
        ("queued", "held", "confirmed"),
        ("queued", "waitlisted", "held", "expired", "confirmed", "cancelled"),
        ("queued", "waitlisted", "rejected"),
        ("held", "expired"),
        ("queued", "cancelled"),
    ],
)
def test_an_order_may_go_through_these_states(states: tuple[str, ...]) -> None:
    assert judged(told(*states), ledger(states[-1])) == {}


@pytest.mark.parametrize(
    "states",
    [
        ("expired", "held"),
        ("confirmed", "held"),
        ("cancelled", "confirmed"),
        ("held", "rejected"),
        ("rejected", "held"),
    ],
)
def test_an_order_that_goes_back_is_found(states: tuple[str, ...]) -> None:
    assert set(judged(told(*states), ledger(states[-1]))) == {"went_back"}


def test_what_a_drain_committed_may_move_on_and_not_back() -> None:
    history: list[Observation] = [asked(1, 100), Committed(101, 0, {an_id(1): "held"})]
    assert judged(history, ledger("confirmed")) == {}
    assert set(judged(history, ledger("waitlisted"))) == {"went_back"}


def test_a_service_does_each_event_of_an_order_once() -> None:
    every = ("order.",)
    moved = ("held", "expired")
    assert judged(told("queued"), ledger("confirmed", *moved, done=3), *every) == {}
    assert set(judged(told("queued"), ledger("confirmed", *moved, done=2), *every)) == {"effects"}
    assert set(judged(told("queued"), ledger("confirmed", *moved, done=4), *every)) == {"effects"}


def test_a_service_of_confirmed_orders_hears_nothing_else() -> None:
    confirmed = ("order.confirmed.",)
    assert judged(told("queued"), ledger("expired", "held"), *confirmed) == {}
    # It was confirmed before it was cancelled.
    cancelled = ledger("cancelled", "held", "confirmed", done=1)
    assert judged(told("queued"), cancelled, *confirmed) == {}


def line(*recorded: tuple[float, dict[int, str]], process: int = 0) -> list[Observation]:
    """What a drain recorded of sales with holds; each commit comes just after its release."""
    found: list[Observation] = []
    for at, states in recorded:
        found.append(Released(at - 0.1, len(states), process))
        by_id = {an_id(number): state for number, state in states.items()}
        found.append(Committed(at, process, by_id))
    return found


def orders(*states: tuple[str, int | None], customers: str = "1234") -> Holdings:
    """A ledger with orders, each with its state and its number in line."""
    return Holdings(
        [
            Decided(an_id(number), "tv", f"c-{customer}", 1, state, (), place)
            for number, (customer, (state, place)) in enumerate(
                zip(customers, states, strict=False), 1
            )
        ]
    )


def test_a_waiting_list_that_is_served_in_its_order_is_right() -> None:
    history = line(
        (100, {1: "held", 2: "waitlisted", 3: "waitlisted"}),
        (101, {1: "expired", 2: "held"}),
        (102, {2: "confirmed"}),
        (103, {3: "held"}),
        (104, {4: "held"}),
    )
    found = orders(("expired", None), ("confirmed", 1), ("held", 2), ("held", None))
    assert "passed_over" not in judged(history, found)


def test_an_order_that_is_held_before_one_ahead_of_it_is_found() -> None:
    history = line(
        (100, {1: "held", 2: "waitlisted", 3: "waitlisted"}),
        (101, {1: "expired", 3: "held"}),
        (102, {3: "expired", 2: "held"}),
    )
    found = orders(("expired", None), ("held", 1), ("expired", 2))
    assert "passed_over" in judged(history, found)


@pytest.mark.parametrize("later", [{}, {2: "held"}, {2: "rejected"}])
def test_a_new_order_that_is_held_while_another_waits_is_found(later: dict[int, str]) -> None:
    history = line((100, {1: "held", 2: "waitlisted"}), (101, {3: "held"}), (102, later))
    state = later.get(2, "waitlisted")
    found = orders(("held", None), (state, 1), ("held", None))
    assert "passed_over" in judged(history, found)


def test_a_customer_who_orders_again_does_not_pass_the_line() -> None:
    history = line(
        (100, {1: "held", 2: "waitlisted"}),
        (101, {1: "cancelled", 3: "held"}),
        (102, {2: "held"}),
    )
    found = orders(("cancelled", None), ("held", 1), ("held", None), customers="121")
    assert "passed_over" not in judged(history, found)


def test_the_line_is_judged_by_what_is_certain_only() -> None:
    # A frozen drain records its commit late, and the one that took over has gone on.
    frozen = line((100, {1: "held", 2: "waitlisted", 3: "waitlisted"}), (103, {2: "held"}))
    frozen[-2] = Released(100.5, 1, 0)
    successor = line((102, {3: "held"}), process=1)
    found = orders(("expired", None), ("held", 1), ("held", 2))
    assert "passed_over" not in judged([*frozen, *successor], found)
    # Nobody recorded when the one in line was cancelled by a gateway.
    history = line((100, {1: "held", 2: "waitlisted"}), (101, {3: "held"}))
    cancelled = orders(("held", None), ("cancelled", 1), ("held", None))
    assert "passed_over" not in judged(history, cancelled)


def test_holds_that_the_drain_has_not_ended_are_too_early_to_judge() -> None:
    held = Holdings([Decided(an_id(1), "tv", "c-1", 1, "held")], overdue=1)
    verdict = judge(HistorySummary(told("held")), held, Backlog(), [], 10)
    assert verdict.waiting == ["1 holds are over, and the drain has not ended them"]
