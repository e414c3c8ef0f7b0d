"""What the ledger promises about holds, on SQLite and on PostgreSQL."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import IntegrityError

from flashsale.domain.audit_entries import PROGRAM
from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.holds.cancellations import CancelRefusal, ExtendRefusal
from flashsale.domain.holds.payments import Disposition, Payment, PaymentRefusal
from flashsale.domain.holds.rule import Allowance, MoreChanges
from flashsale.domain.operators.sale_changes import TermsChange
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import Cancellation, Cancelled, Due, Extended, Ledger, Sink, Unsent
from flashsale.messages.events import OrderEvent
from tests.conftest import an_order, draining
from tests.database import execute, rows

NOW = 1_800_000_000.0
OVER = NOW + 600 + GRACE_SECONDS


def holding(stock: int, **more: object) -> Sale:
    terms: dict[str, object] = {"hold_seconds": 600, "price": "10.00", "currency": "EUR"}
    return Sale("tv", stock, **(terms | more))  # type: ignore[arg-type]


def payment(order: Order, payment_id: str, outcome: str = "succeeded", **more: object) -> Payment:
    return Payment(order.id, payment_id, outcome, **more)  # type: ignore[arg-type]


async def state(ledger: Ledger, order: Order) -> str:
    outcome = (await ledger.find([OrderId(order.id)]))[OrderId(order.id)]
    return f"{outcome.status} {outcome.reason}" if outcome.reason else str(outcome.status)


async def states(ledger: Ledger, orders: Sequence[Order]) -> list[str]:
    return [await state(ledger, order) for order in orders]


async def counts(ledger: Ledger) -> tuple[int, int, int]:
    [sale] = await ledger.sales()
    return sale.sold, sale.held, sale.waiting


async def events(ledger: Ledger) -> list[OrderEvent]:
    found: list[OrderEvent] = []

    async def send(unsent: Sequence[Unsent]) -> Sequence[str]:
        found.extend(one.event for one in unsent)
        return [one.event.event_id for one in unsent]

    await ledger.outbox.relay(1_000, NOW * 2, send)
    return found


async def balanced(ledger: Ledger) -> None:
    assert (await ledger.audit()).wrong == ()


async def advance(sink: Sink, now: float, due: int = 100) -> list[Outcome]:
    return (await sink.sell([], now, allowance=Allowance(due))).moved


async def test_an_order_holds_its_items_and_a_payment_confirms_it(ledger: Ledger) -> None:
    await ledger.create_sale(holding(2))
    order, other, late = an_order(), an_order(), an_order()
    async with draining(ledger) as sink:
        verdict = await sink.sell([order, other, late], NOW)
        assert [o.status for o in verdict.outcomes] == ["held", "held", "rejected"]
        assert [o.expires_at for o in verdict.outcomes] == [NOW + 600, NOW + 600, None]
        assert [(s.sold, s.held) for s in verdict.sales] == [(0, 2)]
        assert (await sink.sell([order, other, late], NOW + 1)).outcomes == verdict.outcomes
    taken = await ledger.take_payments([payment(order, "p-1", amount="10.00")], NOW + 5)
    assert [answer.result for answer in taken.answers] == [Disposition.CONFIRMED]
    assert [o.status for o in taken.verdict.moved] == [Status.CONFIRMED]
    assert await counts(ledger) == (1, 1, 0)
    told = {(e.order_id, e.status): e for e in await events(ledger)}
    assert len(told) == 4
    held = told[OrderId(order.id), "held"]
    # The order had moved on when its first event was published.
    assert (held.expires_at, held.decided_at, held.reason) == (NOW + 600, NOW, None)
    confirmed = told[OrderId(order.id), "confirmed"]
    assert (confirmed.payment_id, confirmed.decided_at) == ("p-1", NOW + 5)
    assert confirmed.topic == "order.confirmed.tv"
    await balanced(ledger)


async def test_a_hold_ends_after_its_grace_and_the_next_in_line_gets_it(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1, waitlist=2))
    first, second, third, fourth = (an_order() for _ in range(4))
    async with draining(ledger) as sink:
        verdict = await sink.sell([first, second, third, fourth], NOW)
        assert [o.status for o in verdict.outcomes] == [
            *("held", "waitlisted", "waitlisted", "rejected")
        ]
        assert [o.place for o in verdict.outcomes] == [None, 1, 2, None]
        assert await advance(sink, OVER - 1) == []
        moved = await advance(sink, OVER)
        assert [(o.order.id, o.status) for o in moved] == [
            (first.id, "expired"),
            (second.id, "held"),
        ]
        assert moved[1].expires_at == OVER + 600
    assert await counts(ledger) == (0, 1, 1)
    assert (await ledger.sales())[0].line_head == 2
    told = [(e.order_id, e.status) for e in await events(ledger)]
    assert told.count((OrderId(second.id), "held")) == 1
    await balanced(ledger)


async def test_nobody_in_line_is_passed_over(ledger: Ledger) -> None:
    await ledger.create_sale(holding(2, waitlist=5))
    holders = [an_order(), an_order()]
    big, small, new = an_order(quantity=2), an_order(), an_order()
    async with draining(ledger) as sink:
        await sink.sell([*holders, big, small], NOW)
        await ledger.cancel(Cancellation(holders[0].id), NOW + 1)
        # One item is free, and the head needs two. Neither who is behind nor who comes gets it.
        assert await advance(sink, NOW + 2) == []
        verdict = await sink.sell([new], NOW + 2)
        assert [o.status for o in verdict.outcomes] == ["waitlisted"]
        await ledger.cancel(Cancellation(holders[1].id), NOW + 3)
        assert [o.order.id for o in await advance(sink, NOW + 4)] == [big.id]
    assert await states(ledger, [big, small, new]) == ["held", "waitlisted", "waitlisted"]
    await balanced(ledger)


async def test_the_line_ends_once_nothing_is_held(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1, waitlist=5))
    bought, waits = an_order(), an_order()
    async with draining(ledger) as sink:
        await sink.sell([bought, waits], NOW)
        await ledger.take_payments([payment(bought, "p-1")], NOW + 1)
        await advance(sink, NOW + 2)
    assert await states(ledger, [bought, waits]) == ["confirmed", "rejected sold_out"]
    assert await counts(ledger) == (1, 0, 0)
    await balanced(ledger)


async def test_a_customer_who_asks_again_gets_the_hold_back(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1, customer_limit=1))
    first, again = an_order(customer_id="me"), an_order(customer_id="me")
    async with draining(ledger) as sink:
        await sink.sell([first], NOW)
        with pytest.raises(MoreChanges) as raised:
            await sink.sell([again], NOW + 60)
        assert raised.value.needed == 1
        verdict = await sink.sell([again], NOW + 60, allowance=Allowance(replaced=1))
    [outcome] = verdict.outcomes
    assert (outcome.status, outcome.expires_at) == (Status.HELD, NOW + 600)
    assert await state(ledger, first) == "cancelled replaced"
    assert await counts(ledger) == (0, 1, 0)
    await balanced(ledger)


async def test_a_late_payment_confirms_what_is_still_there(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1))
    order = an_order()
    async with draining(ledger) as sink:
        await sink.sell([order], NOW)
        await advance(sink, OVER)
    assert await state(ledger, order) == "expired"
    taken = await ledger.take_payments([payment(order, "p-1")], OVER + 1)
    assert taken.answers[0].result is Disposition.CONFIRMED
    assert await counts(ledger) == (1, 0, 0)
    assert [e.status for e in await events(ledger)] == ["held", "expired", "confirmed"]
    await balanced(ledger)


async def test_a_late_payment_for_what_is_gone_is_given_back(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1))
    late, next_one = an_order(), an_order()
    async with draining(ledger) as sink:
        await sink.sell([late], NOW)
        await advance(sink, OVER)
        await sink.sell([next_one], OVER + 1)
    taken = await ledger.take_payments(
        [payment(late, "p-1", amount="10", currency="EUR")], OVER + 2
    )
    assert taken.answers[0].result is Disposition.REFUND_DUE
    assert await states(ledger, [late, next_one]) == ["expired", "held"]
    [refund] = [e for e in await events(ledger) if e.status == "refund_due"]
    assert (refund.order_id, refund.payment_id, refund.amount, refund.currency, refund.reason) == (
        *(late.id, "p-1", "10", "EUR", "too_late"),
    )
    await balanced(ledger)


async def test_payments_that_come_again_change_nothing(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1))
    order = an_order()
    async with draining(ledger) as sink:
        await sink.sell([order], NOW)
    told = [
        payment(order, "p-0", "failed", webhook_id="w-0"),
        payment(order, "p-1", webhook_id="w-1"),
        payment(order, "p-1", webhook_id="w-1"),
        payment(order, "p-1", webhook_id="w-2"),
        payment(order, "p-0", "failed", webhook_id="w-3"),
        payment(order, "p-2"),
    ]
    expected = ["failed", "confirmed", "confirmed", "confirmed", "failed", "refund_due"]
    first = await ledger.take_payments(told, NOW + 1)
    assert [str(a.result) for a in first.answers] == expected
    assert [a.again for a in first.answers] == [False, False, True, True, True, False]
    for one in told:
        again = await ledger.take_payments([one], NOW + 2)
        assert again.answers[0].again
        assert again.verdict.moved == []
    assert [e.status for e in await events(ledger)] == ["held", "confirmed", "refund_due"]
    await balanced(ledger)


async def test_a_payment_may_succeed_after_it_has_failed(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1))
    order = an_order()
    async with draining(ledger) as sink:
        await sink.sell([order], NOW)
    await ledger.take_payments([payment(order, "p-1", "failed")], NOW + 1)
    assert await state(ledger, order) == "held"
    await ledger.take_payments([payment(order, "p-1")], NOW + 2)
    assert await state(ledger, order) == "confirmed"
    await balanced(ledger)


async def test_payments_that_can_not_be_meant_are_refused(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(holding(1, waitlist=1))
    held, waits, rejected = an_order(quantity=1), an_order(), an_order()
    async with draining(ledger) as sink:
        await sink.sell([held, waits, rejected], NOW)
    told = {
        payment(an_order(), "p-1"): PaymentRefusal.UNKNOWN_ORDER,
        payment(waits, "p-2"): PaymentRefusal.NEVER_HELD,
        payment(rejected, "p-3"): PaymentRefusal.NEVER_HELD,
        payment(held, "p-4", amount="9.99"): PaymentRefusal.WRONG_AMOUNT,
        payment(held, "p-5", currency="USD"): PaymentRefusal.WRONG_AMOUNT,
        payment(held, "p-6", amount="10.0000"): Disposition.CONFIRMED,
        payment(waits, "p-6"): PaymentRefusal.OTHER_ORDER,
    }
    taken = await ledger.take_payments(list(told), NOW + 1)
    assert [a.result for a in taken.answers] == list(told.values())
    assert [row.payment_id for row in await rows(database_url, "SELECT * FROM payments")] == ["p-6"]
    await balanced(ledger)


async def test_a_queued_order_is_cancelled_before_the_drain_sees_it(ledger: Ledger) -> None:
    await ledger.create_sale(holding(2))
    whole, bare = an_order(), an_order()
    as_known = Order(bare.id, "tv", "", 1, 0.0)
    for order, known in ((whole, whole), (bare, as_known)):
        cancelled = await ledger.cancel(Cancellation(order.id, known), NOW)
        assert isinstance(cancelled, Cancelled)
        again = await ledger.cancel(Cancellation(order.id, known), NOW)
        assert isinstance(again, Cancelled)
        assert again.again
    await balanced(ledger)
    async with draining(ledger) as sink:
        verdict = await sink.sell([whole, bare], NOW + 1)
        assert [o.status for o in verdict.outcomes] == ["cancelled", "cancelled"]
        assert [o.order for o in verdict.outcomes] == [whole, bare]
    assert await counts(ledger) == (0, 0, 0)
    assert {e.customer_id for e in await events(ledger)} == {whole.customer_id, bare.customer_id}
    await balanced(ledger)


async def test_a_cancelled_hold_frees_its_items(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1, waitlist=1))
    held, waits = an_order(customer_id="me"), an_order()
    async with draining(ledger) as sink:
        await sink.sell([held, waits], NOW)
        not_mine = Cancellation(held.id, customer_id="you")
        assert await ledger.cancel(not_mine, NOW + 1) is CancelRefusal.UNKNOWN_ORDER
        cancelled = await ledger.cancel(Cancellation(held.id, customer_id="me"), NOW + 1)
        assert isinstance(cancelled, Cancelled)
        assert await counts(ledger) == (0, 0, 1)
        await advance(sink, NOW + 2)
    assert await states(ledger, [held, waits]) == ["cancelled by_customer", "held"]
    taken = await ledger.take_payments([payment(held, "p-1")], NOW + 3)
    assert taken.answers[0].result is Disposition.REFUND_DUE
    await balanced(ledger)


async def test_a_confirmed_order_is_cancelled_only_if_the_sale_allows_it(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1))
    await ledger.create_sale(Sale("phone", 1, cancellable=True))
    await ledger.create_sale(Sale("radio", 1, cancellable=True, hold_seconds=60))
    fixed, plain, paid = an_order(), an_order(sku="phone"), an_order(sku="radio")
    async with draining(ledger) as sink:
        await sink.sell([fixed, plain, paid], NOW)
    await ledger.take_payments([payment(fixed, "p-1"), payment(paid, "p-2")], NOW + 1)
    refused = await ledger.cancel(Cancellation(fixed.id), NOW + 2)
    assert refused is CancelRefusal.NOT_CANCELLABLE
    for order in (plain, paid):
        done = await ledger.cancel(Cancellation(order.id, by_operator=True), NOW + 2)
        assert isinstance(done, Cancelled)
    assert [s.sold for s in await ledger.sales()] == [0, 0, 1]
    refunds = [e.payment_id for e in await events(ledger) if e.status == "refund_due"]
    assert refunds == ["p-2"]
    await balanced(ledger)


async def test_a_hold_is_extended_once_if_the_sale_allows_it(ledger: Ledger) -> None:
    await ledger.create_sale(holding(1, extendable=True))
    order = an_order()
    async with draining(ledger) as sink:
        await sink.sell([order], NOW)
        extended = await ledger.extend(order.id, NOW + 10)
        assert isinstance(extended, Extended)
        assert extended.outcome.expires_at == NOW + 1200
        assert await ledger.extend(order.id, NOW + 11) is ExtendRefusal.EXTENDED_ALREADY
        assert await advance(sink, OVER) == []
        assert len(await advance(sink, OVER + 600)) == 1
    assert await ledger.extend(order.id, OVER) is ExtendRefusal.NOT_HELD
    assert await ledger.extend(an_order().id, NOW) is ExtendRefusal.UNKNOWN_ORDER
    await balanced(ledger)


async def test_the_drain_is_told_what_is_due(ledger: Ledger) -> None:
    async with ledger.hold_drain("sale") as lease:
        assert await lease.due(NOW, 100) == Due()
        await ledger.create_sale(holding(2, waitlist=9))
        assert await lease.due(NOW, 100) == Due(holds=True)
        sink = lease.open_sink()
        orders = [an_order() for _ in range(4)]
        await sink.sell(orders, NOW)
        assert await lease.due(NOW, 100) == Due(0, OVER, holds=True)
        assert await lease.due(OVER, 100) == Due(2, OVER, holds=True)
        await ledger.cancel(Cancellation(orders[0].id), NOW)
        assert (await lease.due(NOW, 100)).changes == 2
        assert len(await advance(sink, OVER, 1)) == 1
        assert len(await advance(sink, OVER)) == 2
        assert await lease.due(OVER, 100) == Due(0, OVER + 600 + GRACE_SECONDS, holds=True)


async def test_a_batch_changes_no_more_orders_than_it_may(ledger: Ledger) -> None:
    await ledger.create_sale(holding(10))
    async with draining(ledger) as sink:
        await sink.sell([an_order() for _ in range(10)], NOW)
        new = an_order()
        verdict = await sink.sell([new], OVER, allowance=Allowance(due=4))
        assert len(verdict.moved) == 4
        assert [o.status for o in verdict.outcomes] == ["held"]
    assert await counts(ledger) == (0, 7, 0)
    await balanced(ledger)


async def test_payment_and_end_and_cancellation_at_once_leave_the_books_right(
    ledger: Ledger,
) -> None:
    await ledger.create_sale(holding(20, waitlist=20))
    orders = [an_order() for _ in range(30)]
    async with draining(ledger) as sink:
        await sink.sell(orders, NOW)
        ways = [
            advance(sink, OVER),
            ledger.take_payments([payment(o, f"p-{o.id}") for o in orders[:12]], OVER),
            ledger.take_payments([payment(o, f"q-{o.id}") for o in reversed(orders[6:20])], OVER),
            *(ledger.cancel(Cancellation(o.id), OVER) for o in orders[4:24:3]),
        ]
        await asyncio.gather(*ways)
        await balanced(ledger)
        await advance(sink, OVER + 1)
    await balanced(ledger)


WRONGS = [
    ("books", "UPDATE sales SET held = held - 1", "2 counted as held, 3 items in held orders"),
    ("books", "UPDATE sales SET sold = 1", "1 counted as sold, 2 items in confirmed orders"),
    ("books", "DELETE FROM outbox WHERE topic LIKE 'order.held%'", "no event in the outbox"),
    (
        "payments",
        "UPDATE orders SET status = 'confirmed' WHERE status = 'held'",
        "confirmed by 0 payments",
    ),
    ("payments", "DELETE FROM payments WHERE payment_id = 'p-0'", "confirmed by 0 payments"),
    (
        "payments",
        "UPDATE orders SET status = 'held' WHERE status = 'confirmed'",
        "which is held",
    ),
    (
        "payments",
        "UPDATE payments SET disposition = 'failed' WHERE payment_id = 'p-0'",
        "neither confirms it nor is given back",
    ),
    (
        "payments",
        "UPDATE payments SET outcome = 'failed' WHERE payment_id = 'again'",
        "and is refund_due",
    ),
    (
        "passed_over",
        "UPDATE orders SET place = 9 WHERE status = 'confirmed'",
        "waits as number 1, and number 9 was served",
    ),
    ("passed_over", "UPDATE orders SET place = 1 WHERE place = 2", "2 orders wait as number 1"),
    # A hold that has ended twice: it is expired, and then cancelled.
    (
        "ended_once",
        "UPDATE orders SET events = events + 1 WHERE reason = 'by_customer'",
        "is cancelled after 3 events",
    ),
    # A hold that ended without a word, and money that has to be given back without one.
    ("ended_once", "UPDATE orders SET status = 'expired' WHERE status = 'held'", "is expired"),
    (
        "ended_once",
        "UPDATE orders SET events = 2 WHERE events = 4",
        "after 2 events, and has 1 payments",
    ),
]


@pytest.mark.parametrize(("rule", "statement", "row"), WRONGS)
async def test_the_audit_names_a_hold_that_is_wrong(
    ledger: Ledger, database_url: str, rule: str, statement: str, row: str
) -> None:
    await ledger.create_sale(holding(5, waitlist=2))
    late, paid, cancelled, held, more, *_ = orders = [an_order() for _ in range(8)]
    async with draining(ledger) as sink:
        await sink.sell([late], NOW - 700)
        await sink.sell([*orders[1:5]], NOW)
        await advance(sink, NOW)
        await ledger.take_payments([payment(late, "p-0")], NOW)
        await ledger.take_payments([payment(paid, "p-1"), payment(late, "again")], NOW)
        await ledger.cancel(Cancellation(cancelled.id), NOW)
        await sink.sell(orders[5:], NOW)
    assert await states(ledger, [late, paid, cancelled, held, more, *orders[5:]]) == [
        *("confirmed", "confirmed", "cancelled by_customer"),
        *("held", "held", "held", "waitlisted", "waitlisted"),
    ]
    await balanced(ledger)
    await execute(database_url, statement)
    wrong = (await ledger.audit()).broken[rule]
    assert any(row in one for one in wrong), wrong


async def test_the_audit_names_an_order_of_a_sale_with_holds_that_never_was_held(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(holding(5))
    async with draining(ledger) as sink:
        [held] = (await sink.sell([an_order()], NOW)).outcomes
        await ledger.take_payments([payment(held.order, "p-1")], NOW)
    await balanced(ledger)
    await execute(database_url, "UPDATE orders SET expires_at = NULL")
    wrong = (await ledger.audit()).broken["payments"]
    assert wrong == (f"order {held.order.id}: confirmed for tv, and never was held",)


async def test_the_audit_allows_what_was_sold_before_the_sale_had_holds(ledger: Ledger) -> None:
    await ledger.create_sale(Sale("tv", 5))
    async with draining(ledger) as sink:
        await sink.sell([an_order()], NOW)
        await ledger.change_sale("tv", TermsChange(hold_seconds=600), PROGRAM)
        await sink.sell([an_order()], NOW)
    await balanced(ledger)


async def test_the_audit_reports_holds_that_should_have_ended(ledger: Ledger) -> None:
    await ledger.create_sale(holding(5))
    long_ago, soon = time.time() - 700, time.time()
    async with draining(ledger) as sink:
        await sink.sell([an_order()], long_ago)
        await sink.sell([an_order()], soon)
    assert (await ledger.holdings(["tv"])).overdue == 1
    assert (await ledger.holdings(["radio"])).overdue == 0


async def test_the_tables_refuse_to_hold_more_than_is_left(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.create_sale(holding(2))
    with pytest.raises(IntegrityError, match="sales_never_oversold"):
        await execute(database_url, "UPDATE sales SET sold = 1, held = 2")
