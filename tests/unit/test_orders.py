"""Order ids and the message contract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.order_ids import keyed_order_id, random_order_id
from flashsale.messages.codec import MessageError
from flashsale.messages.orders import decode_order, encode_order
from tests.conftest import an_order

SECRET = b"0123456789abcdef"
texts = st.text(min_size=1, max_size=20)


def test_an_order_survives_the_queue() -> None:
    order = an_order(customer_id="Zoë 🛒", quantity=7)
    assert decode_order(encode_order(order)) == order


@given(st.binary(max_size=80))
def test_what_is_no_order_is_a_decode_error_and_nothing_else(body: bytes) -> None:
    try:
        decode_order(body)
    except MessageError:
        return


@pytest.mark.parametrize("change", [{"id": "x"}, {"quantity": 0}, {"sku": "a b"}, {"sku": ""}])
def test_an_order_that_breaks_the_contract_is_not_read(change: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        decode_order(encode_order(an_order(**change)))


@given(texts, texts, texts, texts)
def test_a_key_stands_for_one_order_of_one_customer(
    customer: str, key: str, other_customer: str, other_key: str
) -> None:
    same = (customer, key) == (other_customer, other_key)
    first = keyed_order_id(SECRET, customer, key)
    second = keyed_order_id(SECRET, other_customer, other_key)
    assert (first == second) == same


def test_the_border_between_customer_and_key_counts() -> None:
    assert keyed_order_id(SECRET, "ab", "c") != keyed_order_id(SECRET, "a", "bc")


def test_the_secret_counts() -> None:
    assert keyed_order_id(SECRET, "a", "b") != keyed_order_id(SECRET + b"!", "a", "b")


def test_random_ids_differ() -> None:
    assert len({random_order_id() for _ in range(1000)}) == 1000
