"""Whatever happens in whatever order, the promises hold.

`MODEL_SALES=20000` plays more of it, and `MODEL_FIRST_SEED` other walks.
"""

import os
from collections.abc import Callable

import pytest

from tests.model.books import SqlBooks
from tests.model.machine import CLOCK, SaleMachine, SqlSaleMachine
from tests.model.playing import Speed, search, walk

SALES = int(os.environ.get("MODEL_SALES", "30"))
"""How many sales are walked, of 300 steps each; Hypothesis plays half as many, of 100."""
FIRST_SEED = int(os.environ.get("MODEL_FIRST_SEED", "1"))

pytestmark = pytest.mark.usefixtures("one_clock")

Record = Callable[[str, object], None]


def test_promises_hold_on_every_walk(record_property: Record) -> None:
    speed = Speed()
    walk(SaleMachine, range(FIRST_SEED, FIRST_SEED + SALES))
    record_property("machine", f"walks: {speed}")


def test_hypothesis_finds_no_way_to_break_a_promise(record_property: Record) -> None:
    speed = Speed()
    search(SaleMachine, SALES // 2)
    record_property("machine", f"hypothesis: {speed}")


def test_promises_hold_on_the_real_ledger(sql_books: SqlBooks, record_property: Record) -> None:
    SqlSaleMachine.tables = sql_books
    speed = Speed()
    walk(SqlSaleMachine, range(FIRST_SEED, FIRST_SEED + max(1, SALES // 8)))
    record_property("machine", f"walks on the real ledger: {speed}")


def test_a_walk_goes_the_same_way_again() -> None:
    def states(seed: int) -> object:
        seen = []

        class Watched(SaleMachine):
            def promises_hold(self) -> None:
                super().promises_hold()
                seen.append((CLOCK.now, dict(self.shop.expected.states)))

        walk(Watched, [seed])
        return seen

    assert states(7) == states(7)


def test_the_walks_come_to_every_answer_and_every_outcome() -> None:
    answers: set[str | None] = set()
    outcomes: set[str] = set()

    class Watched(SaleMachine):
        def teardown(self) -> None:
            answers.update(attempt.answer for attempt in self.shop.attempts)
            super().teardown()
            outcomes.update(
                "failed" if status == "failed" else reason or status
                for status, reason in self.shop.expected.states.values()
            )

    walk(Watched, range(1, 21))
    assert answers >= {
        "taken",
        "unknown-sku",
        "sale-not-open",
        "sale-closed",
        "sold-out",
        "key-reused",
        "queue-full",
        "broker-unavailable",
        "reset",
    }
    assert outcomes >= {
        "confirmed",
        "sold_out",
        "not_enough_left",
        "customer_limit",
        "sale_closed",
        "failed",
    }
