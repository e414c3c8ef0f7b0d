"""The rule of holds, for any sequence of orders, payments, ends and cancellations."""

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.order_states import OPEN_IN_LEDGER, Reason
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale, sale_state
from tests.held_sale import HOLD, LIMIT, HeldSale, steps


@given(steps, st.integers(1, 6), st.integers(0, 4), st.booleans())
def test_the_promises_hold_in_any_order_of_arrival(
    steps: list[Any], stock: int, waitlist: int, cancellable: bool
) -> None:
    terms = Sale(
        "tv",
        stock,
        customer_limit=LIMIT,
        hold_seconds=HOLD,
        waitlist=waitlist,
        cancellable=cancellable,
        extendable=True,
    )
    shop = HeldSale(terms)
    for kind, *arguments in steps:
        match kind:
            case "drain":
                batch = [
                    Order(f"{number:032x}", "tv", customer, quantity, shop.now)
                    for number, customer, quantity in arguments[0]
                ]
                shop.drain(batch, arguments[1])
            case "pay":
                shop.pay(f"{arguments[0]:032x}", f"p-{arguments[1]}", arguments[2])
            case "cancel":
                shop.cancel(f"{arguments[0]:032x}")
            case "extend":
                shop.extend(f"{arguments[0]:032x}")
            case "wait":
                shop.now += arguments[0]
        shop.check()
    # Time alone ends every hold, and with it the line.
    for _ in range(stock + waitlist + 2):
        shop.now += 2 * HOLD + GRACE_SECONDS
        shop.drain([], 100)
        shop.check()
    assert not any(o.status in OPEN_IN_LEDGER for o in shop.orders.values())


def holding(stock: int, **more: Any) -> HeldSale:
    return HeldSale(Sale("tv", stock, hold_seconds=HOLD, **more))


def an(number: int, customer: str, quantity: int = 1) -> Order:
    return Order(f"{number:032x}", "tv", customer, quantity, 1_000.0)


def states(shop: HeldSale) -> list[str]:
    return [str(shop.orders[i].status) for i in sorted(shop.orders)]


def test_a_customer_who_asks_again_keeps_the_end_of_the_hold() -> None:
    shop = holding(1)
    shop.drain([an(1, "a")], 0)
    ends = shop.orders[an(1, "a").id].expires_at
    shop.now += 30
    shop.drain([an(2, "a")], 0)
    assert states(shop) == ["cancelled", "held"]
    assert shop.orders[an(2, "a").id].expires_at == ends


def test_a_customer_who_asks_for_more_than_is_free_keeps_the_hold() -> None:
    shop = holding(2)
    shop.drain([an(1, "a"), an(2, "b"), an(3, "a", 2)], 0)
    assert states(shop) == ["held", "held", "rejected"]
    refused = shop.orders[an(3, "a").id]
    assert (refused.reason, refused.remaining) == (Reason.NOT_ENOUGH_LEFT, 1)


def test_a_customer_who_asks_again_keeps_the_place_in_line() -> None:
    shop = holding(1, waitlist=5)
    shop.drain([an(1, "a"), an(2, "b"), an(3, "c"), an(4, "b")], 0)
    assert states(shop) == ["held", "cancelled", "waitlisted", "waitlisted"]
    assert [shop.orders[an(n, "").id].place for n in (4, 3)] == [1, 2]


def test_a_hold_that_is_over_does_not_block_its_owner() -> None:
    shop = holding(1)
    shop.drain([an(1, "a")], 0)
    shop.now += HOLD + 1
    shop.drain([an(2, "a")], 0)
    assert states(shop) == ["expired", "held"]


def test_the_waiting_list_takes_no_more_than_it_may() -> None:
    shop = holding(1, waitlist=1)
    shop.drain([an(1, "a"), an(2, "b"), an(3, "c")], 0)
    assert states(shop) == ["held", "waitlisted", "rejected"]


def test_a_payment_for_more_than_the_limit_is_given_back() -> None:
    shop = holding(9, customer_limit=1)
    shop.drain([an(1, "a")], 0)
    shop.now += HOLD + GRACE_SECONDS
    shop.drain([an(2, "a")], 5)
    shop.pay(an(1, "a").id, "p-1", "succeeded")
    assert states(shop) == ["expired", "held"]
    assert shop.refunds == {"p-1"}


def test_a_sale_without_holds_is_as_it_was() -> None:
    assert not Sale("tv", 5, sold=5).has_holds
    assert replace(Sale("tv", 5), held=1).has_holds


def test_a_sale_whose_items_are_all_held_still_takes_orders() -> None:
    sale = Sale("tv", 2, held=2, hold_seconds=HOLD)
    assert (sale_state(sale, 0.0), sale.remaining) == ("open", 0)
    assert sale_state(replace(sale, sold=2, held=0), 0.0) == "sold_out"


def test_a_hold_that_is_over_keeps_its_grace_if_a_new_order_gets_nothing() -> None:
    shop = holding(1, waitlist=1)
    shop.drain([an(1, "a"), an(2, "b")], 0)
    shop.now += HOLD + 1
    shop.drain([an(3, "a")], 0)
    assert states(shop) == ["held", "waitlisted", "rejected"]
    shop.pay(an(1, "a").id, "p-1", "succeeded")
    assert states(shop) == ["confirmed", "waitlisted", "rejected"]


def test_an_order_that_is_served_and_replaced_in_one_batch_never_was_held() -> None:
    shop = holding(2, waitlist=5)
    shop.drain([an(1, "a"), an(2, "b"), an(3, "c")], 0)
    shop.cancel(an(1, "a").id)
    shop.drain([an(4, "c")], 5)
    assert states(shop) == ["cancelled", "held", "cancelled", "held"]
    assert shop.orders[an(3, "c").id].expires_at is None
