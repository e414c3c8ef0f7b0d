"""The machine finds what is wrong with holds: each of these makes the product break a promise."""

from collections.abc import Callable
from typing import Any

import pytest

import flashsale.ledger.sql.holds.batches
import flashsale.ledger.sql.holds.cancellations
import flashsale.ledger.sql.holds.due
from consumer.release_gate import ReleaseGate
from flashsale.domain.holds.rule import _Round
from flashsale.domain.pacing import Pacer
from tests.model.holds.machine import HoldMachine
from tests.model.walk import first_failure

Patch = pytest.MonkeyPatch

SEEDS = range(1, 21)
"""The budget: this many walks of 100 steps."""

pytestmark = pytest.mark.usefixtures("one_clock", "held_books")


def serves_the_last_in_line_first(patch: Patch) -> None:
    serve = _Round.serve
    patch.setattr(_Round, "serve", lambda self, sku, line, most: serve(self, sku, line[::-1], most))


def serves_nobody_in_line(patch: Patch) -> None:
    patch.setattr(_Round, "serve", lambda *_: None)


def gives_no_grace(patch: Patch) -> None:
    for module in (flashsale.ledger.sql.holds.batches, flashsale.ledger.sql.holds.due):
        patch.setattr(module, "GRACE_SECONDS", 0.0)


def extends_a_hold_that_is_over(patch: Patch) -> None:
    cancellations = flashsale.ledger.sql.holds.cancellations
    patch.setattr(cancellations, "extended_end", lambda outcome, sale, now: now + 3)


def keeps_the_items_of_a_cancelled_order(patch: Patch) -> None:
    async def nothing(*_: object) -> None:
        """It writes no counts."""

    patch.setattr(flashsale.ledger.sql.holds.cancellations, "set_counts", nothing)


def keeps_the_money_of_a_cancelled_order(patch: Patch) -> None:
    async def nothing(*_: object) -> None:
        """It gives nothing back."""

    patch.setattr(flashsale.ledger.sql.holds.cancellations, "_give_back", nothing)


def counts_a_large_transaction_before_it_is_one(patch: Patch) -> None:
    release = ReleaseGate.release

    def in_pieces(gate: Any, wanted: int, *, whole: bool = False) -> int:
        return release(gate, wanted)

    patch.setattr(ReleaseGate, "release", in_pieces)
    patch.setattr(ReleaseGate, "most_at_once", property(lambda _: 1_000))
    delay = Pacer.delay
    patch.setattr(
        Pacer, "delay", lambda pacer, now, count=1: delay(pacer, now, min(count, pacer.batch))
    )


DEFECTS = [
    serves_the_last_in_line_first,
    serves_nobody_in_line,
    gives_no_grace,
    extends_a_hold_that_is_over,
    keeps_the_items_of_a_cancelled_order,
    keeps_the_money_of_a_cancelled_order,
    counts_a_large_transaction_before_it_is_one,
]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_walk_finds_a_product_that(
    defect: Callable[[Patch], None], monkeypatch: Patch, record_property: Callable[..., None]
) -> None:
    defect(monkeypatch)
    seed = first_failure(SEEDS, 100, HoldMachine)
    assert seed is not None, "not found"
    name = defect.__name__.replace("_", " ")
    record_property("machine", f"a product that {name}: walk {seed}")
