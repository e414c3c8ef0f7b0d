"""Parsing an order: strict, with an error for every wrong field."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.orders import OrderRequest
from gateway.http.problems import kind_of, refusal_response
from gateway.intake.order_request import parse_order
from gateway.intake.refusals import InvalidOrder, NotJson, OtherCustomer, Refusal


def refusal_of(body: bytes) -> Refusal:
    with pytest.raises((NotJson, InvalidOrder)) as caught:
        parse_order(body)
    return caught.value


def wrong_fields(body: bytes) -> list[str]:
    refusal = refusal_of(body)
    assert isinstance(refusal, InvalidOrder)
    return [error["field"] for error in refusal.errors]


def test_a_plain_order_is_parsed() -> None:
    order = parse_order(b'{"sku": "tv-55", "customer_id": "c-123", "quantity": 2}')
    assert order == OrderRequest("tv-55", "c-123", 2)


def test_the_quantity_is_one_if_not_given() -> None:
    assert parse_order(b'{"sku": "tv-55", "customer_id": "c"}').quantity == 1


@pytest.mark.parametrize("quantity", ["2.0", "2e0", "0.2e1"])
def test_a_quantity_without_a_fraction_is_whole_however_it_is_written(quantity: str) -> None:
    body = f'{{"sku": "tv-55", "customer_id": "c-123", "quantity": {quantity}}}'
    assert parse_order(body.encode()).quantity == 2


@pytest.mark.parametrize("quantity", ["2.5", "1e400", "1e308", "-1.0", "0.0", "NaN"])
def test_other_numbers_are_no_quantity(quantity: str) -> None:
    refusal_of(f'{{"sku": "tv-55", "customer_id": "c", "quantity": {quantity}}}'.encode())


def test_the_customer_id_of_an_order_has_the_normal_form() -> None:
    body = '{"sku": "tv", "customer_id": " Zoe\u0308@x "}'.encode()
    assert parse_order(body).customer_id == "Zo\u00eb@x"
    assert parse_order(body, casefold=True).customer_id == "zo\u00eb@x"


@pytest.mark.parametrize(
    "typed",
    ["e\u0301" * 128, " " * 20 + "\u00e9" * 128, "\u200b".join("\u00e9" * 128), "\u1f82" * 128],
    ids=["NFD", "spaces", "zero-width spaces", "the longest NFD"],
)
def test_the_length_of_a_customer_id_is_that_of_its_normal_form(typed: str) -> None:
    typed = unicodedata.normalize("NFD", typed)
    body = json.dumps({"sku": "tv", "customer_id": typed, "quantity": 2}).encode()
    order = parse_order(body)
    assert (order.sku, len(order.customer_id), order.quantity) == ("tv", 128, 2)
    for wrong in (typed + "\u00e9", typed + "\n", "\0" + typed):
        assert wrong_fields(json.dumps({"sku": "tv", "customer_id": wrong}).encode()) == [
            "customer_id"
        ]
    assert wrong_fields(json.dumps({"sku": "", "customer_id": typed}).encode()) == ["sku"]


@pytest.mark.parametrize("customer", [" ", "\u3000\u2003", "\u0958" * 65, "\ufb03" * 43])
def test_a_customer_id_that_is_empty_or_too_long_in_the_normal_form_is_422(customer: str) -> None:
    body = json.dumps({"sku": "tv", "customer_id": customer}).encode()
    with pytest.raises(InvalidOrder) as caught:
        parse_order(body, casefold=True)
    assert [error["field"] for error in caught.value.errors] == ["customer_id"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"sku": "tv", "customer_id": "c"',
        b'{"sku": "tv", "customer_id": "c"} x',
        b'{"sku": "tv", "customer_id": "c", "quantity": NaN}',
        b'{"sku": "tv", "customer_id": "c", "quantity": Infinity}',
        b'{"sku": "tv", "sku": "tv", "customer_id": "c"}',
        b'{"sku": "tv", "customer_id": "c", "quantity": 1, "quantity": 1}',
        b'{"sku": "tv", "customer_id": "c", "quantity": 1, "quantity": "x"}',
        b'{"sku": "tv", "customer_id": "c", "\\u0073ku": "phone"}',
        b'{"sku": "tv", "customer_id": "\\ud800"}',
        b'{"sku": "tv", "customer_id": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 8000,
        b'{"a":' * 2000,
    ],
)
def test_a_body_that_is_not_json_is_400(body: bytes) -> None:
    assert kind_of(refusal_of(body)) == "bad-json"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ["sku", "customer_id"]),
        ({"sku": "tv"}, ["customer_id"]),
        ({"sku": 1, "customer_id": None, "quantity": "1"}, ["sku", "customer_id", "quantity"]),
        ({"sku": "tv", "customer_id": "c", "colour": "red"}, ["colour"]),
        ({"sku": "tv", "customer_id": "c", "quantity": 0}, ["quantity"]),
        ({"sku": "tv", "customer_id": "c", "quantity": -1}, ["quantity"]),
        ({"sku": "tv", "customer_id": "c", "quantity": 1.5}, ["quantity"]),
        ({"sku": "tv", "customer_id": "c", "quantity": True}, ["quantity"]),
        ({"sku": "tv", "customer_id": "c", "quantity": 10**9}, ["quantity"]),
        ({"sku": "tv", "customer_id": "c", "quantity": 10**40}, ["quantity"]),
        ({"sku": "tv\0", "customer_id": "c"}, ["sku"]),
        ({"sku": "tv\n", "customer_id": "c"}, ["sku"]),
        ({"sku": "../tv", "customer_id": "c"}, ["sku"]),
        ({"sku": "tv", "customer_id": "c\0"}, ["customer_id"]),
        ({"sku": "tv", "customer_id": ""}, ["customer_id"]),
        ({"sku": "t" * 10_000, "customer_id": "c" * 10_000}, ["sku", "customer_id"]),
    ],
)
def test_every_wrong_field_is_named(fields: dict[str, object], wrong: list[str]) -> None:
    assert wrong_fields(json.dumps(fields).encode()) == wrong


@pytest.mark.parametrize("body", [b"[]", b"1", b'"order"', b"null", b"true"])
def test_an_order_is_an_object(body: bytes) -> None:
    assert wrong_fields(body) == [""]


def test_a_lone_surrogate_in_a_name_can_be_answered() -> None:
    refusal = refusal_of(b'{"sku": "tv", "customer_id": "c", "\\ud800": 1, "quantity": 0}')
    assert refusal_response(refusal).status in (400, 422)


@given(
    st.dictionaries(
        st.sampled_from(["sku", "customer_id", "quantity", "x"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    )
)
def test_any_body_is_an_order_or_is_refused(fields: dict[str, object]) -> None:
    body = json.dumps(fields).encode()
    try:
        assert parse_order(body).sku == fields["sku"]
    except Refusal:
        assert refusal_response(refusal_of(body)).status in (400, 422)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"sku": "tv", "customer_id": "c", "quantity": ' + b"9" * 5000 + b"}", "quantity"),
        (b'{"sku": "tv", "customer_id": "c", "size": ' + b"9" * 5000 + b"}", "size"),
    ],
)
def test_a_number_of_thousands_of_digits_is_a_wrong_field(body: bytes, field: str) -> None:
    assert wrong_fields(body) == [field]


def test_a_body_that_is_not_utf_8_is_told_in_plain_words() -> None:
    refusal = refusal_of(b'{"sku": "tv", "customer_id": "\xff"}')
    assert isinstance(refusal, NotJson)
    assert refusal.detail == "The body is not UTF-8."


def test_an_order_of_a_known_caller_need_not_name_the_customer() -> None:
    assert parse_order(b'{"sku": "tv"}', caller="alice") == OrderRequest("tv", "alice", 1)
    body = '{"sku": "tv", "customer_id": " ALICE\u200b", "quantity": 2}'.encode()
    order = parse_order(body, casefold=True, caller="alice")
    assert order == OrderRequest("tv", "alice", 2)
    for other in ("bob", "ALICE", "", "x" * 200):
        with pytest.raises((OtherCustomer, InvalidOrder)):
            parse_order(json.dumps({"sku": "tv", "customer_id": other}).encode(), caller="alice")


def test_an_id_of_a_known_caller_may_be_long_until_it_is_in_the_normal_form() -> None:
    caller = "\u00e9" * 128
    typed = unicodedata.normalize("NFD", caller)
    body = json.dumps({"sku": "tv", "customer_id": typed}).encode()
    assert parse_order(body, caller=caller).customer_id == caller
