"""The address at which an order is paid for."""

import pytest

from flashsale.domain.holds.pay_address import PayAddress

ORDER = "0123456789abcdef" * 2


def test_the_fields_are_filled_in_and_encoded() -> None:
    address = PayAddress("https://pay.example/{sku}?order={order_id}&n={quantity}#{sku}")
    assert address.of(ORDER, "a.b-c_d", 3) == (
        f"https://pay.example/a.b-c_d?order={ORDER}&n=3#a.b-c_d"
    )
    assert "%20%26%3F" in address.of(ORDER, " &?", 1)


def test_it_may_be_a_path_of_the_gateway() -> None:
    assert PayAddress("/demo/pay/{order_id}").of(ORDER, "tv", 1) == f"/demo/pay/{ORDER}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("https://pay.example/", "must have the field {order_id}"),
        ("https://pay.example/{order_id", "must have a } for each {"),
        ("https://pay.example/order_id}", "must have a } for each {"),
        ("https://pay.example/{order_id}{customer}", "no others"),
        ("https://pay.example/{}", "no others"),
        ("https://pay.example/{order_id!r}", "no others"),
        ("https://pay.example/{order_id:9}", "no others"),
        ("https://pay.example/{order_id.__class__}", "no others"),
        ("https://{order_id}.example/", "after the name of the server"),
        ("javascript:alert({order_id})", "https://"),
        ("//pay.example/{order_id}", "https://"),
        ("https:///{order_id}", "https://"),
        ("pay/{order_id}", "https://"),
        ("https://pay.example/ {order_id}", "without spaces"),
        ('https://pay.example/"{order_id}', "without spaces and quotes"),
        ("https://pay.example/{order_id}\n", "printable"),
        ("https://p\u00e4y.example/{order_id}", "printable"),
        ("https://pay.example/{order_id}?" + "x" * 2_000, "at most"),
        ("https://[pay/{order_id}", "https://"),
    ],
)
def test_a_template_that_can_not_be_used_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        PayAddress(template)
    assert reason in str(caught.value)
