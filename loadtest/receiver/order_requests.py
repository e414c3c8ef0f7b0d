"""What the order service is sent: envelopes by Standard Webhooks, or the orders of shoppers."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from flashsale.domain.errors import FlashsaleError
from flashsale.domain.orders import OrderRequest
from flashsale.messages.codec import MessageError, decoder
from flashsale.messages.standard_webhooks import ID, verify
from loadtest.receiver.order_book import Placed

_PLACED, _CONFIRMED = "order.placed", "order.confirmed"
_KEY = "idempotency-key"


class BadRequest(FlashsaleError):
    """A request is not of the form that this service takes."""


class _OrderData(msgspec.Struct, frozen=True):
    order_id: Annotated[str, Meta(min_length=1)]
    sku: str
    customer_id: str
    quantity: Annotated[int, Meta(ge=1)] = 1


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: _OrderData


_decode_envelopes = decoder(msgspec.json.Decoder(_Envelope | list[_Envelope]))
_decode_order = decoder(msgspec.json.Decoder(OrderRequest))


def delivered(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float
) -> tuple[list[Placed], bool]:
    """Return the orders of a signed message, and whether it is a batch.

    The key of an order is its id. Raises `SignatureRefused` or `BadRequest`. `now` is in Unix
    seconds.
    """
    message_id = verify(keys, headers, body, now)
    if headers.get(_KEY, message_id) != message_id:
        raise BadRequest(f"{_KEY} and {ID} differ")
    try:
        found = _decode_envelopes(body)
    except MessageError as error:
        raise BadRequest(str(error)) from error
    envelopes = found if isinstance(found, list) else [found]
    if not envelopes:
        raise BadRequest("a batch without an order")
    if not isinstance(found, list) and found.data.order_id != message_id:
        raise BadRequest(f"{ID} is not the order_id")
    return [_placed(envelope) for envelope in envelopes], isinstance(found, list)


def ordered(headers: Mapping[str, str], body: bytes, key: str) -> Placed:
    """Return the order of a shopper. `key` is taken if it has none. Raises `BadRequest`."""
    try:
        order = _decode_order(body)
    except MessageError as error:
        raise BadRequest(str(error)) from error
    return Placed(headers.get(_KEY, key), order.sku, order.customer_id, order.quantity)


def _placed(envelope: _Envelope) -> Placed:
    data = envelope.data
    if envelope.type not in (_PLACED, _CONFIRMED):
        raise BadRequest(f"unknown type {envelope.type}")
    return Placed(
        data.order_id, data.sku, data.customer_id, data.quantity, envelope.type == _CONFIRMED
    )
