"""The machine finds what is wrong: each of these makes the product break a promise."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import Phase

import flashsale.domain.sales
import gateway.intake.accept_order
from consumer.dead_letters import DeadLetters
from consumer.drain_loop import DrainLoop
from flashsale.broker import Delivery
from flashsale.broker.embedded import EmbeddedDeliveries
from flashsale.domain.order_ids import OrderId, random_order_id
from flashsale.domain.order_states import Reason, Status
from flashsale.domain.orders import Outcome
from flashsale.domain.pacing import Pacer
from flashsale.domain.sales import Sale
from flashsale.ledger import Sink
from flashsale.messages.announcements import Decision
from gateway.intake.earlier_attempts import EarlierAttempts
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.sales import KnownSales
from tests.model.machine import SaleMachine
from tests.model.playing import search
from tests.model.quick_ledger import QuickSink
from tests.model.walk import draw_walk, first_failure, made_small

Patch = pytest.MonkeyPatch

pytestmark = pytest.mark.usefixtures("one_clock")

SEEDS = range(1, 101)
"""The budget: this many walks of 300 steps."""


def acks_before_the_commit(patch: Patch) -> None:
    settle = DrainLoop._settle
    take = EmbeddedDeliveries.take
    latest: list[EmbeddedDeliveries] = []

    def taking(deliveries: EmbeddedDeliveries, at_most: int) -> Sequence[Delivery]:
        latest[:] = [deliveries]
        return take(deliveries, at_most)

    async def settling(drainer: DrainLoop, sink: Sink, batch: Sequence[Delivery], due: int) -> Any:
        latest[0].ack_through(batch[-1])
        return await settle(drainer, sink, batch, due)

    patch.setattr(EmbeddedDeliveries, "take", taking)
    patch.setattr(DrainLoop, "_settle", settling)


def forgets_the_stock(patch: Patch) -> None:
    refusal = flashsale.domain.sales.refusal

    def generous(order: Any, sale: Any, remaining: int, holds: int) -> Reason | None:
        return refusal(order, sale, 1_000, holds)

    patch.setattr(flashsale.domain.sales, "refusal", generous)


def forgets_what_customers_hold(patch: Patch) -> None:
    refusal = flashsale.domain.sales.refusal
    patch.setattr(
        flashsale.domain.sales,
        "refusal",
        lambda order, sale, remaining, holds: refusal(order, sale, remaining, 0),
    )


def decides_by_the_hour_of_the_drain(patch: Patch) -> None:
    patch.setattr(Sale, "closed", lambda sale, at: sale.closes_at is not None and at > 0)


def gives_a_retry_a_new_id(patch: Patch) -> None:
    patch.setattr(gateway.intake.accept_order, "keyed_order_id", lambda *_: random_order_id())


def drops_what_is_redelivered(patch: Patch) -> None:
    def dropping(deliveries: EmbeddedDeliveries) -> None:
        deliveries._closed = True
        deliveries._unacked.clear()
        deliveries._at_hand.clear()
        deliveries._arrived.set()

    patch.setattr(EmbeddedDeliveries, "close", dropping)


def decides_a_redelivered_order_again(patch: Patch) -> None:
    decide = flashsale.domain.sales.decide
    patch.setattr(
        "tests.model.quick_ledger.decide",
        lambda batch, sales, bought, decided: decide(batch, sales, bought, {}),
    )


def writes_no_event_for_a_rejected_order(patch: Patch) -> None:
    write = QuickSink._write

    def forgetful(sink: QuickSink, outcome: Outcome) -> None:
        write(sink, outcome)
        if outcome.status is Status.REJECTED:
            sink._ledger.events.pop(outcome.order.id, None)

    patch.setattr(QuickSink, "_write", forgetful)


def only_logs_a_dead_letter(patch: Patch) -> None:
    async def dropping(letters: DeadLetters, sink: Sink, delivery: Delivery, reason: str) -> None:
        """It is gone."""

    patch.setattr(DeadLetters, "add", dropping)


def answers_before_the_confirm(patch: Patch) -> None:
    async def hasty(intake: Any, order_id: OrderId, confirm: Any) -> None:
        confirm.add_done_callback(lambda done: done.exception())

    patch.setattr(gateway.intake.accept_order.OrderIntake, "_confirmed", hasty)


def goes_back_to_queued(patch: Patch) -> None:
    taken = KnownOrders.add_taken

    def again(orders: KnownOrders, order_id: OrderId, sku: str, quantity: int) -> KnownOrder:
        known = taken(orders, order_id, sku, quantity)
        known.status = Status.QUEUED
        return known

    patch.setattr(KnownOrders, "add_taken", again)


def calls_it_sold_out_too_early(patch: Patch) -> None:
    announced = KnownSales.update_sold
    patch.setattr(
        KnownSales,
        "update_sold",
        lambda sales, told: announced(
            sales, msgspec.structs.replace(told, sold=min(told.stock, told.sold + 1))
        ),
    )


def refuses_without_a_look_at_earlier_attempts(patch: Patch) -> None:
    async def nothing(*_: object) -> None:
        """There was none."""

    patch.setattr(EarlierAttempts, "find", nothing)


def believes_a_memory_that_began_late(patch: Patch) -> None:
    patch.setattr(EarlierAttempts, "_remembers", lambda *_: True)


def tells_what_was_taken_not_what_was_decided(patch: Patch) -> None:
    decide = KnownOrder.decide

    def without_contents(order: KnownOrder, decision: Decision) -> None:
        decide(order, msgspec.structs.replace(decision, sku=""))

    patch.setattr(KnownOrder, "decide", without_contents)


def drains_too_fast(patch: Patch) -> None:
    patch.setattr(Pacer, "delay", lambda *_: 0.0)
    patch.setattr(Pacer, "begin", lambda pacer, now, wanted: min(wanted, pacer.batch))


def takes_one_too_many_off_the_queue(patch: Patch) -> None:
    def greedy(deliveries: Any, delivery: Delivery) -> None:
        unacked = deliveries._unacked
        for number in [n for n in unacked if n <= delivery.number + 1]:
            del unacked[number]
        deliveries._queue.dispatch()

    patch.setattr(EmbeddedDeliveries, "ack_through", greedy)


DEFECTS = [
    acks_before_the_commit,
    forgets_the_stock,
    forgets_what_customers_hold,
    decides_by_the_hour_of_the_drain,
    gives_a_retry_a_new_id,
    drops_what_is_redelivered,
    decides_a_redelivered_order_again,
    writes_no_event_for_a_rejected_order,
    only_logs_a_dead_letter,
    answers_before_the_confirm,
    goes_back_to_queued,
    calls_it_sold_out_too_early,
    refuses_without_a_look_at_earlier_attempts,
    believes_a_memory_that_began_late,
    tells_what_was_taken_not_what_was_decided,
    drains_too_fast,
    takes_one_too_many_off_the_queue,
]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_walk_finds_a_product_that(
    defect: Callable[[Patch], None], monkeypatch: Patch, record_property: Callable[..., None]
) -> None:
    defect(monkeypatch)
    seed = first_failure(SEEDS, 300, SaleMachine)
    assert seed is not None, "not found"
    name = defect.__name__.replace("_", " ")
    record_property("machine", f"a product that {name}: walk {seed}")


def test_a_failing_walk_is_made_small(monkeypatch: Patch) -> None:
    forgets_the_stock(monkeypatch)
    walk = next(w for w in (draw_walk(seed, 60) for seed in SEEDS) if w.play(SaleMachine))
    small = made_small(walk, SaleMachine)
    assert small.play(SaleMachine) is not None
    assert len(small.steps) <= 5


def test_hypothesis_finds_a_product_that_forgets_the_stock(monkeypatch: Patch) -> None:
    forgets_the_stock(monkeypatch)
    with pytest.raises(AssertionError, match="must be"):
        search(SaleMachine, 50, phases=[Phase.generate], derandomize=True)
