"""The request to a receiver: envelopes by Standard Webhooks, their signature and headers.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal

import msgspec

from flashsale import __version__
from flashsale.domain.delivery.receiver import Parcel
from flashsale.messages.headers import TRACEPARENT
from flashsale.messages.standard_webhooks import signed_headers

PLACED: Final = "order.placed"
CONFIRMED: Final = "order.confirmed"
BATCH: Final = "order.batch"

CONSTANT_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # A compressed answer is not read, so none is asked for.
    "Accept-Encoding": "identity",
    "User-Agent": f"flashsale-gateway/{__version__}",
    "ce-specversion": "1.0",
}
"""The headers that each request has."""


class OrderData(msgspec.Struct, frozen=True):
    """An order in an envelope. `order_id` is the key by which the receiver knows it again."""

    order_id: str
    sku: str
    customer_id: str
    quantity: int
    accepted_at: float


class Envelope(msgspec.Struct, frozen=True):
    """An order as it is sent. `timestamp` is when it was accepted.

    Each attempt for an order sends the same bytes: a receiver that compares a repeated request with
    the first, as the draft of Idempotency-Key asks for, finds no difference.
    """

    type: Literal["order.placed", "order.confirmed"]
    timestamp: str
    data: OrderData


_LAST_MOMENT = 253_402_300_799
"""The last second of the year 9999."""

_encode = msgspec.json.Encoder().encode


def envelope(parcel: Parcel) -> Envelope:
    """Return the envelope of an order."""
    order = parcel.order
    return Envelope(
        CONFIRMED if parcel.decided else PLACED,
        _moment(order.accepted_at),
        OrderData(order.id, order.sku, order.customer_id, order.quantity, order.accepted_at),
    )


def order_request(parcel: Parcel, key: bytes, now: float) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the request for one order, signed at Unix time `now`."""
    sent = envelope(parcel)
    body = _encode(sent)
    headers = _headers(key, parcel.order.id, now, body, sent.type, sent.timestamp)
    headers["ce-source"] = f"/sales/{parcel.order.sku}"
    if parcel.traceparent is not None:
        headers[TRACEPARENT] = parcel.traceparent
    return body, headers


def batch_request(
    parcels: Sequence[Parcel], key: bytes, now: float
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of one request for several orders, signed at Unix time `now`.

    Its id follows from the ids of its orders, so the same orders make the same request.
    """
    sent = [envelope(parcel) for parcel in parcels]
    body = _encode(sent)
    ids = "\n".join(parcel.order.id for parcel in parcels)
    headers = _headers(
        key,
        hashlib.sha256(ids.encode()).hexdigest()[:32],
        now,
        body,
        BATCH,
        max(each.timestamp for each in sent),
    )
    headers["ce-source"] = "/sales"
    traces = {parcel.traceparent for parcel in parcels}
    if len(traces) == 1 and (traceparent := traces.pop()) is not None:
        headers[TRACEPARENT] = traceparent
    return body, headers


def _headers(
    key: bytes, request_id: str, now: float, body: bytes, event: str, moment: str
) -> dict[str, str]:
    headers = signed_headers((key,), request_id, int(now), body)
    headers["Idempotency-Key"] = request_id
    headers["ce-id"] = request_id
    headers["ce-type"] = event
    headers["ce-time"] = moment
    return headers


def _moment(seconds: float) -> str:
    """Return Unix seconds as a date-time of RFC 3339, in UTC with milliseconds."""
    if not 0 <= seconds <= _LAST_MOMENT:  # whatever a message said, the request can be sent
        seconds = 0.0
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{part // 1000:03}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    # Orders come by the thousand a second, and this takes longer than their signatures.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
