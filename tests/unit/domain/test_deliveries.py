"""The rules before and after the delivery of an order to the order service of the shop."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.delivery.answers import Refused, Taken, Undeliverable
from flashsale.domain.delivery.screening import screen
from flashsale.domain.delivery.settlement import settle
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import (
    DELIVERY_TRANSITIONS,
    DeliveryState,
    Reason,
    Status,
    may_follow,
)
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, sale_state
from tests.conftest import an_order

LIMIT = 3
orders = st.builds(
    an_order,
    id=st.integers(0, 20).map(lambda n: f"{n:032x}"),
    customer_id=st.sampled_from(["a", "b"]),
    quantity=st.integers(1, 4),
    accepted_at=st.floats(0, 20),
)
Answer = Taken | Refused | Undeliverable
answers = st.one_of(
    st.builds(Taken, st.none() | st.text()),
    st.builds(Refused, st.sampled_from(Reason)),
    st.builds(Undeliverable, st.text()),
)


@given(
    st.lists(
        st.tuples(
            st.lists(orders, max_size=6),
            st.lists(st.tuples(st.integers(0, 5), answers), max_size=6),
        ),
        max_size=8,
    )
)
def test_however_late_the_shop_decides_no_customer_is_over_the_limit(
    rounds: list[tuple[list[Order], list[tuple[int, Answer]]]],
) -> None:
    """In each round a batch begins, and then some of the orders on the way end, in any order."""
    sales = {"tv": Sale("tv", None, customer_limit=LIMIT, closes_at=15)}
    decided: dict[OrderId, Outcome] = {}
    on_the_way: dict[OrderId, Order] = {}
    held: Counter[tuple[str, str]] = Counter()
    for batch, ends in rounds:
        screened = screen(batch, sales, held, decided, on_the_way.values())
        assert screened.keys() == {order.id for order in batch}
        for order in reversed(batch):
            order_id = OrderId(order.id)
            outcome = screened[order_id]
            if order_id in decided:
                assert outcome == decided[order_id], "an outcome changed"
            elif outcome is not None:
                assert order_id not in on_the_way, "the shop may have it"
                decided[order_id] = outcome
            elif order_id not in on_the_way:
                on_the_way[order_id] = next(o for o in batch if o.id == order_id)
        for number, answer in ends:
            if number < len(on_the_way):
                order = on_the_way.pop(list(on_the_way)[number])
                settlement = settle(order, None, answer)
                assert settlement is not None
                decided[OrderId(order.id)] = settlement.outcome
                if settlement.outcome.status is Status.CONFIRMED:
                    held[order.sku, order.customer_id] += order.quantity
        assert all(items <= LIMIT for items in held.values())


states = st.one_of(
    st.none(),
    st.sampled_from([Status.REJECTED, Status.FAILED]).map(
        lambda status: Outcome(an_order(), status, "why")
    ),
    st.sampled_from([None, *DeliveryState]).map(
        lambda delivery: Outcome(an_order(), Status.CONFIRMED, delivery=delivery)
    ),
)


@given(states, st.lists(answers, min_size=1, max_size=4))
def test_neither_an_order_nor_its_delivery_goes_back(
    recorded: Outcome | None, given_answers: list[Answer]
) -> None:
    order = an_order() if recorded is None else recorded.order
    for answer in given_answers:
        settlement = settle(order, recorded, answer)
        if settlement is None:
            continue
        new = settlement.outcome
        if recorded is not None and recorded.status is Status.CONFIRMED:
            assert recorded.delivery is not None
            assert new.status is Status.CONFIRMED
            assert new.delivery in {*DELIVERY_TRANSITIONS[recorded.delivery], DeliveryState.FAILED}
        elif recorded is not None:
            assert may_follow(recorded.status, new.status) or new.status is recorded.status
        assert (new.delivery is None) == (new.status is not Status.CONFIRMED)
        for text in (new.order_ref, new.reason, settlement.delivery_reason):
            assert "\0" not in (text or "")
            (text or "").encode()
        # The same answer again changes no more.
        again = settle(order, new, answer)
        assert again is None or again == settlement
        recorded = new


def test_a_sold_out_sale_still_delivers_what_the_shop_may_have() -> None:
    known, new = an_order(), an_order()
    sales = {"tv": Sale("tv", None, sold_out=True)}
    screened = screen([known, new], sales, {}, {}, maybe_known={OrderId(known.id)})
    assert screened == {known.id: None, new.id: Outcome(new, Status.REJECTED, Reason.SOLD_OUT)}


def test_a_sale_of_the_shops_stock_is_open_until_the_shop_says_sold_out() -> None:
    sale = Sale("tv", None, sold=10_000)
    assert (sale_state(sale, 0), sale.remaining) == ("open", None)
    assert sale_state(Sale("tv", None, sold_out=True), 0) == "sold_out"
    assert sale_state(Sale("tv", None, sold_out=True, closes_at=5), 6) == "closed"
    assert sale_state(Sale("tv", None, sold_out=True, opens_at=5), 4) == "scheduled"
