"""`POST /payments`: a provider tells of a payment, and the order is paid."""

import time

from tests.conftest import unique
from tests.integration.gateway.embedded_gateway import EmbeddedGateway
from tests.integration.gateway.holds.provider import a_payment, at_once, order, pay, status


async def test_a_payment_confirms_a_held_order(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    answer = await pay(gateway, a_payment(order_id, payment_id="pay-1", amount="10.00"))
    assert (answer.status, answer.body) == (
        200,
        {"order_id": order_id, "payment_id": "pay-1", "result": "confirmed", "again": False},
    )
    seen = await gateway.call("GET", f"/orders/{order_id}")
    assert seen.body["status"] == "confirmed"
    assert (await gateway.stack.ledger.find_sale("radio")).sold == 1


async def test_a_payment_that_is_told_again_gets_the_first_answer(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    body = a_payment(order_id)
    first = await pay(gateway, body, delivery="msg-1")
    same_delivery = await pay(gateway, body, delivery="msg-1")
    other_delivery = await pay(gateway, body, delivery="msg-2")
    assert first.body["again"] is False
    for again in (same_delivery, other_delivery):
        assert again.body == first.body | {"again": True}


async def test_a_failed_payment_keeps_the_hold(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    body = a_payment(order_id, outcome="failed")
    assert (await pay(gateway, body)).body["result"] == "failed"
    assert (await gateway.call("GET", f"/orders/{order_id}")).body["status"] == "held"
    assert (await pay(gateway, body | {"outcome": "succeeded"})).body["result"] == "confirmed"


async def test_a_second_payment_is_to_be_given_back(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    assert (await pay(gateway, a_payment(order_id))).body["result"] == "confirmed"
    assert (await pay(gateway, a_payment(order_id))).body["result"] == "refund_due"


async def test_the_same_delivery_twice_at_the_same_moment_counts_once(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "radio")
    body = a_payment(order_id)
    answers = await at_once(*(pay(gateway, body, delivery="msg-1") for _ in range(8)))
    assert {a.body["result"] for a in answers} == {"confirmed"}
    assert sorted(a.body["again"] for a in answers) == [False, *[True] * 7]


NO_PAYMENTS: list[tuple[dict[str, object], int, str]] = [
    ({"order_id": "0" * 32}, 404, "unknown-order"),
    ({"order_id": "none\0"}, 404, "unknown-order"),
    ({"amount": "9.99"}, 422, "wrong-amount"),
    ({"amount": 9.99}, 422, "wrong-amount"),
    ({"currency": "USD"}, 422, "wrong-amount"),
    ({"outcome": "maybe"}, 400, "invalid-payment"),
    ({"payment_id": "with space"}, 400, "invalid-payment"),
    ({"payment_id": ""}, 400, "invalid-payment"),
    ({"amount": 10.000000000000002}, 400, "invalid-payment"),
    ({"amount": -10}, 400, "invalid-payment"),
    ({"amount": "NaN"}, 400, "invalid-payment"),
    ({"amount": "1e999999"}, 400, "invalid-payment"),
    ({"amount": "Infinity"}, 400, "invalid-payment"),
    ({"amount": True}, 400, "invalid-payment"),
    ({"amount": float("nan")}, 400, "bad-json"),
    ({"ammount": "10.00"}, 400, "invalid-payment"),
    ({"currency": "euros"}, 400, "invalid-payment"),
]


async def test_a_payment_that_can_not_be_is_refused_and_changes_nothing(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "radio")
    for changes, status_code, problem in NO_PAYMENTS:
        answer = await pay(gateway, a_payment(order_id) | changes)
        assert (answer.status, answer.problem) == (status_code, problem), changes
    assert (await gateway.call("GET", f"/orders/{order_id}")).body["status"] == "held"


async def test_an_amount_is_a_number_however_it_is_written(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    results = []
    for amount in ("10", "10.0", "10.0000", 10, 10.0, "10.00000000"):
        answer = await pay(gateway, a_payment(order_id, amount=amount, currency="eur"))
        results.append(answer.body.get("result"))
    # Each is another payment, of the right amount.
    assert results == ["confirmed", *["refund_due"] * 5]


async def test_a_payment_for_an_order_that_never_held_anything_is_refused(
    gateway: EmbeddedGateway,
) -> None:
    bought = await order(gateway, "tv", "confirmed")
    answer = await pay(gateway, a_payment(bought))
    assert (answer.status, answer.problem) == (409, "never-held")


async def test_a_payment_of_another_order_is_refused(gateway: EmbeddedGateway) -> None:
    mine, other = await order(gateway, "radio"), await order(gateway, "radio")
    assert (await pay(gateway, a_payment(mine, payment_id="pay-1"))).status == 200
    answer = await pay(gateway, a_payment(other, payment_id="pay-1"))
    assert (answer.status, answer.problem) == (409, "payment-of-other-order")


async def test_a_payment_of_two_sales_at_the_same_moment_is_of_one_order(
    gateway: EmbeddedGateway,
) -> None:
    """No row is locked by both: the database refuses one, and it is tried again."""
    mine, other = await order(gateway, "radio"), await order(gateway, "lamp")
    bodies = [a_payment(order_id, payment_id="pay-1") for order_id in (mine, other)]
    answers = await at_once(*(pay(gateway, body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [200, 409]


async def test_a_signature_of_another_time_is_refused(gateway: EmbeddedGateway) -> None:
    for seconds in (-302.0, 302.0):
        answer = await pay(gateway, a_payment("0" * 32), signed_at=time.time() + seconds)
        assert (answer.status, answer.problem) == (401, "bad-signature")
        assert "webhook-timestamp" in answer.body["detail"].lower()
        assert "WWW-Authenticate" in answer.headers


WRONG_HEADERS: list[dict[str, str]] = [
    {"webhook-signature": "v1,AAAA"},
    {"webhook-signature": ""},
    {"webhook-signature": "v2,\u00e4"},
    {"webhook-id": "other"},
    {"webhook-timestamp": "now"},
    {"webhook-timestamp": "1" * 50},
]


async def test_a_wrong_signature_is_refused_and_changes_nothing(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    for headers in WRONG_HEADERS:
        answer = await pay(gateway, a_payment(order_id), headers=headers)
        assert (answer.status, answer.problem) == (401, "bad-signature"), headers
    assert (await gateway.call("GET", f"/orders/{order_id}")).body["status"] == "held"


async def test_a_signature_by_another_secret_is_refused(gateway: EmbeddedGateway) -> None:
    answer = await pay(gateway, a_payment("0" * 32), secret="whsec_" + "b3RoZXIh" * 5)
    assert (answer.status, answer.problem) == (401, "bad-signature")


async def test_a_payment_without_a_signature_is_refused(gateway: EmbeddedGateway) -> None:
    answer = await gateway.call("POST", "/payments", json=a_payment("0" * 32))
    assert (answer.status, answer.problem) == (401, "bad-signature")


async def test_what_is_no_payment_at_all_is_refused(gateway: EmbeddedGateway) -> None:
    large = await pay(gateway, b"[" + b"1," * 10_000 + b"1]")
    assert (large.status, large.problem) == (413, "body-too-large")
    for body in (b"", b"{", b"\xff", b"nonsense"):
        answer = await pay(gateway, body)
        assert (answer.status, answer.problem) == (400, "bad-json"), body
    for body in (b"[]", b"null", b"{}", b"1", b"[" * 10_000):
        answer = await pay(gateway, body)
        assert (answer.status, answer.problem) == (400, "invalid-payment"), body
    form = await pay(gateway, b"a=b", headers={"Content-Type": "text/plain"})
    assert (form.status, form.problem) == (415, "unsupported-media-type")


async def test_an_id_of_a_delivery_that_none_can_have_is_refused(gateway: EmbeddedGateway) -> None:
    answer = await pay(gateway, a_payment("0" * 32), delivery="x" * 201)
    assert (answer.status, answer.problem) == (400, "invalid-payment")


async def test_money_does_not_wait_for_a_paused_drain(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    for task in gateway.tasks:
        task.cancel()
    assert (await pay(gateway, a_payment(order_id))).body["result"] == "confirmed"
    await status(gateway, order_id, "confirmed")


async def test_payments_that_come_together_share_transactions(gateway: EmbeddedGateway) -> None:
    order_ids = [await order(gateway, "free", customer_id=unique("c")) for _ in range(5)]
    before = gateway.context.metrics.payment_groups._value.get()
    bodies = [a_payment(order_id) for order_id in order_ids for _ in range(8)]
    answers = await at_once(*(pay(gateway, body) for body in bodies))
    assert [a.status for a in answers] == [200] * 40
    results = sorted(a.body["result"] for a in answers)
    assert results == ["confirmed"] * 5 + ["refund_due"] * 35
    assert gateway.context.metrics.payment_groups._value.get() - before < 30
    assert (await gateway.stack.ledger.find_sale("free")).sold == 5
