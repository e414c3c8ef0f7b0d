"""Spellings of a customer id that are one customer, and those that are not."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.customers import normal_customer_id


@pytest.mark.parametrize(
    ("typed", "plain", "folded"),
    [
        ("alice@x", "alice@x", "alice@x"),
        ("alice@x ", "alice@x", "alice@x"),
        (" Alice@x\u3000", "Alice@x", "alice@x"),
        ("zoe\u0308", "zo\u00eb", "zo\u00eb"),
        ("ZOE\u0308", "ZO\u00cb", "zo\u00eb"),
        ("Stra\u00dfe", "Stra\u00dfe", "strasse"),
        ("\u1fb3\u0313", "\u1f80", "\u1f00\u03b9"),
        ("a b", "a b", "a b"),
        ("  ", "", ""),
        ("\u2003\u00a0", "", ""),
        ("\ufeffalice@x\u200b", "alice@x", "alice@x"),
        ("\u200ealice@x\u200f ", "alice@x", "alice@x"),
        ("\u202aAl\u00adice@x\u202c", "Alice@x", "alice@x"),
        ("zoe\u200b\u0308", "zo\u00eb", "zo\u00eb"),
        (" \u2060 \u200b", "", ""),
        ("\u0645\u06cc\u200c\u0631\u0648\u062f",) * 3,
        ("\u0130rem", "\u0130rem", "i\u0307rem"),
        ("\uff21lice", "\uff21lice", "\uff41lice"),
    ],
)
def test_a_customer_id_has_one_form(typed: str, plain: str, folded: str) -> None:
    assert normal_customer_id(typed) == plain
    assert normal_customer_id(typed, casefold=True) == folded


def test_an_ascii_id_without_space_is_not_copied() -> None:
    customer = "".join(["c", "-1"])
    assert normal_customer_id(customer) is customer


@given(st.text(), st.booleans())
def test_the_normal_form_of_a_normal_form_is_itself(typed: str, casefold: bool) -> None:
    once = normal_customer_id(typed, casefold=casefold)
    assert normal_customer_id(once, casefold=casefold) == once
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, f" {typed} ")
        assert normal_customer_id(other, casefold=casefold) == once
