"""Orders survive encoding and decoding, and nothing else is decoded as an order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.messages.codec import MessageError
from flashsale.messages.orders import decode_order, encode_order
from tests.conftest import an_order


def test_an_order_survives_the_queue() -> None:
    order = an_order(customer_id="Zoë 🛒", quantity=7)
    assert decode_order(encode_order(order)) == order


@given(st.binary(max_size=80))
def test_a_malformed_order_is_a_decode_error_and_no_other(body: bytes) -> None:
    try:
        decode_order(body)
    except MessageError:
        return


@pytest.mark.parametrize("change", [{"id": "x"}, {"quantity": 0}, {"sku": "a b"}, {"sku": ""}])
def test_an_order_that_breaks_the_contract_is_not_decoded(change: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        decode_order(encode_order(an_order(**change)))
