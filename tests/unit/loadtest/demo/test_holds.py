"""A sale with holds in the demo: its figures and its picture."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.ledger import Books
from flashsale.ledger.holdings import Decided
from loadtest.demo.chart import draw
from loadtest.demo.holds import figures, overdue
from loadtest.demo.live_view import LiveView
from loadtest.demo.report import Evidence, judge, print_report
from loadtest.demo.watch import Sample, Watch
from loadtest.payers import Habits


def an_order(status: str, *earlier: str) -> Decided:
    return Decided("0" * 32, "tv", "c", 1, status, earlier)


ORDERS = [
    an_order("confirmed", "held"),
    an_order("confirmed", "waitlisted", "held"),
    an_order("confirmed", "held", "expired"),
    an_order("expired", "held", "refund_due"),
    an_order("expired", "held"),
    an_order("rejected", "waitlisted"),
    an_order("rejected"),
]


def a_watch(*, holds: bool) -> Watch:
    watch = Watch([], "tv", 2000, 1500, holds)
    watch.samples = [
        Sample(n, n, n, {}, n, n, 0, 0, 40, n, held=40 - n, waiting=10) for n in range(40)
    ]
    return watch


def test_orders_are_counted_by_every_state_that_they_were_in() -> None:
    assert figures(ORDERS) == {
        "held": 5,
        "paid": 3,
        "expired": 3,
        "paid_late": 1,
        "waited": 2,
        "served": 1,
        "refunds_due": 1,
        "open": 0,
    }


def test_a_hold_that_has_not_ended_is_a_broken_promise_only_once_it_should_have() -> None:
    def outcome(status: Status, expires_at: float) -> Outcome:
        return Outcome(Order("0" * 32, "tv", "c", 1, 1000.0), status, expires_at=expires_at)

    now = 2000.0
    just_ended, long_ago = now - GRACE_SECONDS - 1, now - GRACE_SECONDS - 20
    held = [outcome(Status.HELD, at) for at in (just_ended, long_ago)]
    assert overdue([*held, outcome(Status.EXPIRED, long_ago)], now) == 1
    books = Books(0, 0, 0, 0, {})
    report = judge(Evidence([], {}, books, 5, 5, 2000, 5, {}, {}, [], ORDERS, overdue=1))
    assert "1 holds that should have ended" in report.broken
    assert figures([an_order("held"), an_order("waitlisted")])["open"] == 2


def test_the_report_tells_of_holds_only_if_there_are_some() -> None:
    def printed(held: list[Decided]) -> str:
        books = Books(0, 0, 0, 0, {})
        report = judge(Evidence([], {}, books, 5, 5, 2000, 5, {}, {}, [], held))
        console = Console(record=True, width=100)
        print_report(report, console)
        return console.export_text()

    told = printed(ORDERS)
    for line in ("held for a payment", "waited in line, served", "payments to give back"):
        assert line in told
        assert line not in printed([])


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_view_shows_what_is_held_only_if_there_are_holds(terminal: bool) -> None:
    def shown(*, holds: bool) -> str:
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=100)
        with LiveView(a_watch(holds=holds), console) as view:
            view.show()
        return file.getvalue()

    for words in ("held", "in line"):
        assert words in shown(holds=True)
        assert words not in shown(holds=False)


def test_the_picture_of_holds_has_a_plot_more(tmp_path: Path) -> None:
    for name in ("plain", "holds"):
        draw(a_watch(holds=name == "holds"), tmp_path / f"{name}.png")
    height = {
        name: int.from_bytes((tmp_path / f"{name}.png").read_bytes()[20:24])
        for name in ("plain", "holds")
    }
    assert height["holds"] == pytest.approx(1.5 * height["plain"], abs=2)


def test_shoppers_do_what_their_shares_say() -> None:
    habits = Habits(pay=0.5, fail=0.2, late=0.1)
    told = [habits.plan(luck) for luck in (0.0, 0.49, 0.51, 0.69, 0.71, 0.79, 0.81, 0.99)]
    assert told == ["pay", "pay", "fail", "fail", "late", "late", "leave", "leave"]


def test_the_habits_of_shoppers_are_read_from_the_environment() -> None:
    set_ = {"FLASHSALE_LOAD_PAY": "0.2", "FLASHSALE_LOAD_LATE_SECONDS": "3"}
    assert Habits.read(set_) == Habits(pay=0.2, late_seconds=3.0)
    assert Habits.read({}) == Habits()
