"""The request to a receiver: envelopes, signature, headers, the same bytes at each attempt."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.orders import Order
from flashsale.messages.standard_webhooks import verify
from flashsale.sinks.http.requests import batch_request, order_request
from tests.unit.sinks.parcels import a_parcel, parcels

KEY = bytes(range(32))
NOW = 1_795_000_060.9


def test_an_order_is_sent_in_an_envelope() -> None:
    body, _ = order_request(a_parcel(7), KEY, NOW)
    assert json.loads(body) == {
        "type": "order.placed",
        "timestamp": "2026-11-18T11:06:40.250Z",
        "data": {
            "order_id": "00000000000000000000000000000007",
            "sku": "tv",
            "customer_id": "zoë@example.com",
            "quantity": 2,
            "accepted_at": 1_795_000_000.25,
        },
    }


def test_a_receiver_that_is_only_told_gets_another_type() -> None:
    body, headers = order_request(a_parcel(decided=True), KEY, NOW)
    assert json.loads(body)["type"] == headers["ce-type"] == "order.confirmed"


def test_the_headers_name_the_order_in_each_standard() -> None:
    parcel = a_parcel(7)
    _, headers = order_request(parcel, KEY, NOW)
    assert headers["webhook-id"] == headers["Idempotency-Key"] == headers["ce-id"]
    assert headers["webhook-id"] == parcel.order.id
    assert headers["webhook-timestamp"] == "1795000060"
    assert headers["ce-type"] == "order.placed"
    assert headers["ce-source"] == "/sales/tv"
    assert headers["ce-time"] == "2026-11-18T11:06:40.250Z"
    assert "traceparent" not in headers


def test_a_trace_goes_on_at_the_receiver() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert order_request(a_parcel(traceparent=trace), KEY, NOW)[1]["traceparent"] == trace
    same = [a_parcel(n, traceparent=trace) for n in (1, 2)]
    assert batch_request(same, KEY, NOW)[1]["traceparent"] == trace
    mixed = [*same, a_parcel(3)]
    assert "traceparent" not in batch_request(mixed, KEY, NOW)[1]


def test_a_receiver_verifies_orders_and_batches_by_the_package_of_the_standard() -> None:
    now = datetime.now(UTC).timestamp()
    webhook = Webhook("whsec_" + b64encode(KEY).decode())
    for body, headers in (
        order_request(a_parcel(), KEY, now),
        batch_request(parcels(50), KEY, now),
    ):
        assert webhook.verify(body.decode(), headers)
        assert verify([KEY], headers, body, now) == headers["webhook-id"]


def test_every_attempt_sends_the_same_bytes_and_key_and_is_signed_anew() -> None:
    first, later = (order_request(a_parcel(), KEY, NOW + after) for after in (0, 86_400))
    assert first[0] == later[0]
    assert first[1]["Idempotency-Key"] == later[1]["Idempotency-Key"]
    assert first[1]["webhook-signature"] != later[1]["webhook-signature"]


def test_a_batch_is_an_array_of_envelopes_each_with_its_own_key() -> None:
    body, headers = batch_request([a_parcel(1), a_parcel(2, decided=True)], KEY, NOW)
    sent = json.loads(body)
    assert [each["data"]["order_id"] for each in sent] == [f"{1:032x}", f"{2:032x}"]
    assert [each["type"] for each in sent] == ["order.placed", "order.confirmed"]
    assert headers["ce-type"] == "order.batch"
    assert headers["ce-source"] == "/sales"
    assert json.loads(batch_request([a_parcel(1)], KEY, NOW)[0]) == sent[:1]


def test_the_id_of_a_batch_follows_from_its_orders() -> None:
    def id_of(batch: list[Parcel], after: float = 0) -> Any:
        headers = batch_request(batch, KEY, NOW + after)[1]
        assert headers["webhook-id"] == headers["Idempotency-Key"] == headers["ce-id"]
        return headers["webhook-id"]

    one, other = parcels(50), parcels(49)
    assert id_of(one) == id_of(one, after=3600)
    assert len({id_of(one), id_of(other), id_of(one[::-1]), id_of([a_parcel()])}) == 4
    assert id_of([a_parcel()]) != a_parcel().order.id


@pytest.mark.parametrize("accepted_at", [float("nan"), float("inf"), -1.0, 1e300])
def test_an_order_with_an_impossible_time_is_sent_all_the_same(accepted_at: float) -> None:
    parcel = Parcel(Order("0" * 32, "tv", "c", 1, accepted_at), decided=False)
    assert json.loads(order_request(parcel, KEY, NOW)[0])["timestamp"] == "1970-01-01T00:00:00.000Z"


def test_no_header_has_anything_of_the_customer() -> None:
    # A header with other characters than ASCII could not be sent, and a proxy may log it.
    _, headers = order_request(a_parcel(customer="zoë\u2028@example.com"), KEY, NOW)
    assert all(name.isascii() and value.isascii() for name, value in headers.items())
    assert "example.com" not in str(headers)
