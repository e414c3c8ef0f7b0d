"""Whatever happens to holds in whatever order, the promises hold."""

import os
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.model.holds.machine import HoldMachine
from tests.model.playing import Speed, search, walk
from tests.model.walk import Step, Walk

SALES = int(os.environ.get("MODEL_SALES", "30"))
FIRST_SEED = int(os.environ.get("MODEL_FIRST_SEED", "1"))

Record = Callable[[str, object], None]

pytestmark = pytest.mark.usefixtures("one_clock", "held_books")


def test_promises_hold_on_every_walk(record_property: Record) -> None:
    speed = Speed()
    walk(HoldMachine, range(FIRST_SEED, FIRST_SEED + max(1, SALES // 4)), steps=150)
    record_property("machine", f"walks with holds: {speed}")


def test_hypothesis_finds_no_way_to_break_a_promise(record_property: Record) -> None:
    speed = Speed()
    search(HoldMachine, max(1, SALES // 6), steps=60)
    record_property("machine", f"hypothesis with holds: {speed}")


def test_a_payment_that_comes_last_and_late_is_known_once_it_was_announced() -> None:
    steps = [Step("many_reserve", 4), Step("all_settles", None), Step("all_pay_at_once", 0)]
    assert Walk(0, (1, None), steps).play(HoldMachine) is None


def test_the_walks_come_to_every_answer_and_every_way_of_an_order() -> None:
    answers: set[str] = set()
    ways: set[str] = set()
    reasons: set[str | None] = set()

    class Watched(HoldMachine):
        def teardown(self) -> None:
            super().teardown()
            expected = self.shop.expected
            answers.update(expected.answers)
            steps = (step for past in expected.past.values() for step in pairwise(past))
            ways.update(" ".join(step) for step in steps)
            reasons.update(reason for _, reason in expected.states.values())

    walk(Watched, range(1, 21), steps=100)
    wanted = {
        *("payment confirmed", "payment confirmed again", "payment refund_due"),
        *("payment failed", "payment never_held", "payment unknown_order"),
        *("payment wrong_amount", "payment other_order"),
        *("cancellation cancelled", "cancellation over", "cancellation unknown_order"),
        *("extension", "extension not_held"),
        *("held confirmed", "held expired", "held cancelled"),
        *("expired confirmed", "confirmed cancelled"),
        *("waitlisted held", "waitlisted cancelled"),
        *("replaced", "by_customer", "by_operator"),
    }
    missing = wanted - answers - ways - reasons
    assert not missing, missing
