"""The rule of the sale."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Reason, Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, by_one_clock, decide
from tests.conftest import an_order

orders = st.builds(
    an_order,
    id=st.integers(0, 60).map(lambda n: f"{n:032x}"),
    sku=st.sampled_from(["tv", "phone", "none"]),
    customer_id=st.sampled_from(["a", "b", "c"]),
    quantity=st.integers(1, 4),
    accepted_at=st.floats(0, 20),
)


@given(
    st.lists(st.lists(orders, max_size=12), max_size=12),
    st.integers(0, 30),
    st.one_of(st.none(), st.integers(1, 6)),
)
def test_stock_and_limits_hold_and_nothing_is_decided_twice(
    batches: list[list[Order]], stock: int, limit: int | None
) -> None:
    sales = {
        "tv": Sale("tv", stock, 0, limit),
        "phone": Sale("phone", 10, 0, None, opens_at=5, closes_at=15),
    }
    decided: dict[OrderId, Outcome] = {}
    bought: Counter[tuple[str, str]] = Counter()
    sold: Counter[str] = Counter()
    for batch in batches:
        outcomes = decide(batch, sales, bought, decided)
        assert [o.order.id for o in outcomes] == [order.id for order in batch]
        for outcome in outcomes:
            order = outcome.order
            if OrderId(order.id) in decided:
                assert decided[OrderId(order.id)] == outcome, "an outcome changed"
                continue
            decided[OrderId(order.id)] = outcome
            if outcome.status is Status.CONFIRMED:
                bought[order.sku, order.customer_id] += order.quantity
                sold[order.sku] += order.quantity
        sales = {
            sku: Sale(sku, s.stock, sold[sku], s.customer_limit, s.opens_at, s.closes_at)
            for sku, s in sales.items()
        }
        assert all(sale.sold <= (sale.stock or 0) for sale in sales.values())
        assert limit is None or all(
            items <= limit for (sku, _), items in bought.items() if sku == "tv"
        )


def test_the_first_order_in_the_queue_gets_the_last_item() -> None:
    first, second = an_order(), an_order()
    outcomes = decide([first, second], {"tv": Sale("tv", 1)}, {}, {})
    assert [o.status for o in outcomes] == [Status.CONFIRMED, Status.REJECTED]
    assert outcomes[1].reason is Reason.SOLD_OUT


def test_an_order_too_large_for_the_rest_leaves_it_to_a_smaller_one() -> None:
    batch = [an_order(quantity=3), an_order(quantity=2), an_order()]
    outcomes = decide(batch, {"tv": Sale("tv", 2)}, {}, {})
    assert [(o.status, o.reason, o.remaining) for o in outcomes] == [
        (Status.REJECTED, Reason.NOT_ENOUGH_LEFT, 2),
        (Status.CONFIRMED, None, None),
        (Status.REJECTED, Reason.SOLD_OUT, None),
    ]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (an_order(sku="radio"), Reason.UNKNOWN_SKU),
        (an_order(accepted_at=9.0), Reason.SALE_NOT_OPEN),
        (an_order(accepted_at=20.0), Reason.SALE_CLOSED),
        (an_order(accepted_at=15.0, quantity=3), Reason.CUSTOMER_LIMIT),
        (an_order(accepted_at=15.0, customer_id="regular"), Reason.CUSTOMER_LIMIT),
        (an_order(accepted_at=15.0, quantity=2), Reason.NOT_ENOUGH_LEFT),
    ],
)
def test_a_rejected_order_has_its_reason(order: Order, reason: Reason) -> None:
    sale = Sale("tv", 5, 4, customer_limit=2, opens_at=10, closes_at=20)
    bought = {("tv", "regular"): 2}
    [outcome] = decide([order], {"tv": sale}, bought, {})
    assert (outcome.status, outcome.reason) == (Status.REJECTED, reason)


def test_an_order_accepted_in_time_is_sold_though_the_sale_closed_while_it_waited() -> None:
    sale = Sale("tv", 5, closes_at=20)
    [outcome] = decide([an_order(accepted_at=19.9)], {"tv": sale}, {}, {})
    assert outcome.status is Status.CONFIRMED


def test_an_order_of_a_clock_that_is_ahead_opens_no_sale() -> None:
    sale = Sale("tv", 5, opens_at=100, closes_at=200)
    ahead = [an_order(sku="tv", accepted_at=130)]
    for now, reason in ((70, Reason.SALE_NOT_OPEN), (99.9, Reason.SALE_NOT_OPEN), (100, None)):
        [order] = by_one_clock(ahead, now)
        assert order.accepted_at == now
        [outcome] = decide([order], {"tv": sale}, {}, {})
        assert outcome.reason == reason


def test_an_order_that_waited_until_the_sale_closed_is_judged_by_when_it_was_accepted() -> None:
    sale = Sale("tv", 5, opens_at=100, closes_at=200)
    waited = [an_order(sku="tv", accepted_at=199), an_order(sku="tv", accepted_at=200)]
    assert by_one_clock(waited, 230) == waited
    outcomes = decide(by_one_clock(waited, 230), {"tv": sale}, {}, {})
    assert [o.reason for o in outcomes] == [None, Reason.SALE_CLOSED]


@given(st.lists(orders, max_size=12), st.floats(0, 20))
def test_by_one_clock_no_order_is_accepted_after_the_drain_has_it(
    batch: list[Order], now: float
) -> None:
    judged = by_one_clock(batch, now)
    assert [o.id for o in judged] == [o.id for o in batch]
    assert all(o.accepted_at <= now for o in judged)


def test_a_sale_is_copied_with_other_values() -> None:
    sale = Sale("tv", 5, 2, 1, 10.0, 20.0, "TV", version=3, held=1, waiting=2)
    assert sale.but(sold=3, held=0) == replace(sale, sold=3, held=0)
    assert sale == Sale("tv", 5, 2, 1, 10.0, 20.0, "TV", version=3, held=1, waiting=2)
