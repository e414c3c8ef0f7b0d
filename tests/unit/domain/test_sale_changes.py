"""What an operator may change about a sale, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.operators.sale_changes import (
    CloseNow,
    OpenNow,
    StockBelowSold,
    StockChange,
    TermsChange,
)
from flashsale.domain.operators.sale_terms import MOST_ITEMS, picture_origin, require_new
from flashsale.domain.sales import Sale, sale_state

NOW = 1_000.0

moments = st.one_of(st.none(), st.floats(0, 2 * NOW))


@st.composite
def any_sale(draw: st.DrawFn) -> Sale:
    stock = draw(st.integers(0, 50))
    return Sale(
        "tv",
        stock,
        draw(st.integers(0, stock)),
        opens_at=draw(moments),
        closes_at=draw(moments),
    )


@given(any_sale())
def test_an_opened_sale_takes_orders_and_a_closed_one_takes_none(sale: Sale) -> None:
    assert sale_state(OpenNow().apply(sale, NOW), NOW) in ("open", "sold_out")
    assert sale_state(CloseNow().apply(sale, NOW), NOW) == "closed"


@given(any_sale(), st.integers(-100, 100))
def test_the_stock_is_never_below_what_is_sold(sale: Sale, add: int) -> None:
    stock = sale.stock or 0
    try:
        changed = StockChange(add).apply(sale, NOW)
    except StockBelowSold:
        assert stock + add < sale.sold
    except ChangeRefused:
        assert add == 0
    else:
        assert (changed.stock, changed.sold) == (stock + add, sale.sold)
        assert changed.sold <= stock + add


@given(any_sale(), moments, moments)
def test_a_schedule_that_is_taken_makes_sense(
    sale: Sale, opens_at: float | None, closes_at: float | None
) -> None:
    try:
        changed = TermsChange(opens_at=opens_at, closes_at=closes_at).apply(sale, NOW)
    except ChangeRefused:
        return
    opens, closes = changed.opens_at, changed.closes_at
    if (opens, closes) != (sale.opens_at, sale.closes_at):
        assert opens is None or closes is None or opens < closes
    for new, old in ((opens, sale.opens_at), (closes, sale.closes_at)):
        assert new is None or new == old or new > NOW
    for new, asked in ((opens, opens_at), (closes, closes_at)):
        assert new == asked or (new is not None and new == pytest.approx(asked, abs=1e-6))
    assert changed.stock == sale.stock


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, ""),
        ({"opens_at": NOW - 1}, "opens_at"),
        ({"opens_at": NOW}, "opens_at"),
        ({"closes_at": NOW - 1}, "closes_at"),
        ({"opens_at": NOW + 600}, "opens_at"),
        ({"opens_at": NOW + 9, "closes_at": NOW + 9}, "closes_at"),
        ({"customer_limit": 0}, "customer_limit"),
        ({"customer_limit": -1}, "customer_limit"),
        ({"customer_limit": MOST_ITEMS + 1}, "customer_limit"),
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"title": "a\x00"}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"price": "-1"}, "price"),
        ({"price": "1,50"}, "price"),
        ({"price": "1e3"}, "price"),
        ({"price": "NaN"}, "price"),
        ({"price": ""}, "price"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"picture_url": "http://cdn.example.com/tv.png"}, "picture_url"),
        ({"picture_url": "//cdn.example.com/tv.png"}, "picture_url"),
        ({"picture_url": "javascript:alert(1)"}, "picture_url"),
        ({"picture_url": "https://user@cdn.example.com/tv.png"}, "picture_url"),
        ({"picture_url": "https://cdn.example.com; script-src *"}, "picture_url"),
        ({"picture_url": "/a b"}, "picture_url"),
        ({"picture_url": "/" + "x" * 2_000}, "picture_url"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    changes: dict[str, Any], field: str
) -> None:
    sale = Sale("tv", 5, opens_at=None, closes_at=NOW + 600)
    with pytest.raises(ChangeRefused) as refused:
        TermsChange(**changes).apply(sale, NOW)
    assert refused.value.field == field
    assert refused.value.detail


def test_a_time_in_the_past_is_refused_with_the_advice_to_do_it_now() -> None:
    with pytest.raises(ChangeRefused, match="open the sale now"):
        TermsChange(opens_at=NOW - 5).apply(Sale("tv", 5), NOW)
    with pytest.raises(ChangeRefused, match="close the sale now"):
        TermsChange(closes_at=NOW - 5).apply(Sale("tv", 5), NOW)


def test_terms_may_come_back_as_they_were_read() -> None:
    # Written times are rounded to microseconds.
    sale = Sale("tv", 5, opens_at=NOW - 10.000_000_4, closes_at=NOW - 5.000_000_4)
    changed = TermsChange(opens_at=NOW - 10, closes_at=NOW - 5, title="A TV").apply(sale, NOW)
    assert changed.title == "A TV"
    assert (changed.opens_at, changed.closes_at) == (sale.opens_at, sale.closes_at)


def test_a_term_is_removed_by_none_and_left_without_a_value() -> None:
    sale = Sale("tv", 5, customer_limit=2, closes_at=NOW + 5, title="A TV", price="1.00")
    changed = TermsChange(customer_limit=None, title=None).apply(sale, NOW)
    assert (changed.customer_limit, changed.title) == (None, None)
    assert (changed.closes_at, changed.price) == (NOW + 5, "1.00")


def test_opening_a_closed_sale_keeps_when_it_opened_and_clears_when_it_closed() -> None:
    sale = Sale("tv", 5, opens_at=NOW - 10, closes_at=NOW - 5)
    assert OpenNow().apply(sale, NOW) == Sale("tv", 5, opens_at=NOW - 10)


def test_opening_a_scheduled_sale_keeps_its_end() -> None:
    sale = Sale("tv", 5, opens_at=NOW + 10, closes_at=NOW + 50)
    assert OpenNow().apply(sale, NOW) == Sale("tv", 5, opens_at=NOW, closes_at=NOW + 50)


def test_the_stock_has_a_largest_value() -> None:
    with pytest.raises(ChangeRefused, match=str(MOST_ITEMS)):
        StockChange(1).apply(Sale("tv", MOST_ITEMS), NOW)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://cdn.example.com/tv.png?size=2", "https://cdn.example.com"),
        ("https://cdn.example.com:8443/tv.png", "https://cdn.example.com:8443"),
        ("/pictures/tv.png", None),
        ("https://a.example; script-src *", None),
    ],
)
def test_the_site_of_a_picture(url: str, origin: str | None) -> None:
    assert picture_origin(url) == origin


@pytest.mark.parametrize(
    ("sale", "field"),
    [
        (Sale("a b", 5), "sku"),
        (Sale("tv", -1), "stock"),
        (Sale("tv", MOST_ITEMS + 1), "stock"),
        (Sale("tv", 5, customer_limit=0), "customer_limit"),
        (Sale("tv", 5, opens_at=NOW + 5, closes_at=NOW + 5), "closes_at"),
        (Sale("tv", 5, opens_at=NOW), "opens_at"),
        (Sale("tv", 5, closes_at=NOW), "closes_at"),
        (Sale("tv", 5, price="x"), "price"),
    ],
)
def test_a_new_sale_has_sensible_terms(sale: Sale, field: str) -> None:
    with pytest.raises(ChangeRefused) as refused:
        require_new(sale, NOW)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("terms", "field", "words"),
    [
        ({"hold_seconds": 0}, "hold_seconds", "1 to 86400 seconds"),
        ({"hold_seconds": 365 * 86_400}, "hold_seconds", "1 to 86400 seconds"),
        ({"hold_seconds": 60, "stock": None}, "hold_seconds", "stock of this sale is the shop's"),
        ({"hold_seconds": 60, "waitlist": -1}, "waitlist", "must be 0 to"),
        ({"waitlist": 5}, "waitlist", "needs hold_seconds"),
        ({"extendable": True}, "extendable", "needs hold_seconds"),
    ],
)
def test_a_sale_with_holds_that_make_no_sense_is_refused(
    terms: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ChangeRefused, match=words) as refused:
        require_new(Sale("tv", **({"stock": 5} | terms)), NOW, delivers="stock" in terms)
    assert refused.value.field == field


def test_orders_that_are_delivered_hold_nothing() -> None:
    with pytest.raises(ChangeRefused, match="FLASHSALE_SINK_URL"):
        require_new(Sale("tv", 5, hold_seconds=60), NOW, delivers=True)


def test_a_sale_whose_orders_are_delivered_gets_no_holds_later() -> None:
    with pytest.raises(ChangeRefused, match="FLASHSALE_SINK_URL") as refused:
        TermsChange(hold_seconds=60, delivers=True).apply(Sale("tv", 5), NOW)
    assert refused.value.field == "hold_seconds"
    assert TermsChange(hold_seconds=60).apply(Sale("tv", 5), NOW).hold_seconds == 60


def test_a_sale_that_had_holds_before_the_order_service_can_still_be_changed() -> None:
    held = Sale("tv", 5, held=1, hold_seconds=60)
    assert TermsChange(title="A TV", delivers=True).apply(held, NOW).title == "A TV"
    assert TermsChange(hold_seconds=90, delivers=True).apply(held, NOW).hold_seconds == 90


def test_a_change_is_recognised_by_its_terms_alone() -> None:
    assert TermsChange(hold_seconds=60, delivers=True).wanted == {"hold_seconds": 60}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hold_seconds": None}, "hold_seconds"),
        ({"price": "1.00"}, "price"),
        ({"currency": "USD"}, "currency"),
    ],
)
def test_the_terms_of_open_holds_stay(change: dict[str, Any], field: str) -> None:
    terms: dict[str, Any] = {"hold_seconds": 60, "price": "9.00", "currency": "EUR"}
    with pytest.raises(ChangeRefused) as refused:
        TermsChange(**change).apply(Sale("tv", 5, held=1, **terms), NOW)
    assert refused.value.field == field
    assert TermsChange(**change).apply(Sale("tv", 5, **terms), NOW).stock == 5


def test_the_stock_is_never_below_what_is_sold_and_held() -> None:
    sale = Sale("tv", 5, sold=2, held=2, hold_seconds=60)
    assert StockChange(-1).apply(sale, NOW).stock == 4
    with pytest.raises(StockBelowSold, match="2 of 5 items are sold and 2 are held, so at most 1"):
        StockChange(-2).apply(sale, NOW)
