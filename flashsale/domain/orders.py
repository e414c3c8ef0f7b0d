"""The message contracts: what travels through the broker, and the ids it travels under."""

import hashlib
import hmac
import os
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, NewType

import msgspec
from msgspec import Meta

OrderId = NewType("OrderId", str)
"""32 hexadecimal digits."""

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"

Sku = Annotated[str, Meta(pattern=SKU_PATTERN)]
"""What is sold. It is part of routing keys and paths, hence the narrow alphabet."""

# PostgreSQL's text holds no NUL, UTF-8 no surrogate; other controls only serve to forge log lines.
CustomerId = Annotated[
    str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")
]

Quantity = Annotated[int, Meta(ge=1, le=1_000)]


class OrderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a shopper asks for: the body of `POST /orders`."""

    sku: Sku
    customer_id: CustomerId
    quantity: Quantity = 1


class Order(msgspec.Struct, frozen=True, array_like=True):
    """An order on its way through the queue. `accepted_at` is in Unix seconds, by the gateway."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    sku: Sku
    customer_id: CustomerId
    quantity: Quantity
    accepted_at: float


class Status(StrEnum):
    """Where an order stands. It leaves `queued` once, and never goes back."""

    QUEUED = "queued"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    FAILED = "failed"


class Reason(StrEnum):
    """Why an order was rejected."""

    SOLD_OUT = "sold_out"
    CUSTOMER_LIMIT = "customer_limit"
    SALE_NOT_OPEN = "sale_not_open"
    SALE_CLOSED = "sale_closed"
    UNKNOWN_SKU = "unknown_sku"


class Outcome(msgspec.Struct, frozen=True):
    """What was decided about an order. `reason` says why: a `Reason` if it was rejected."""

    order: Order
    status: Status
    reason: str | None = None


encode_order = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Order)


def decode_order(body: bytes) -> Order:
    """Read an order from the queue. Raises `msgspec.DecodeError` if it is none."""
    try:
        return _decoder.decode(body)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error


def random_order_id() -> OrderId:
    """An id for an order that came without a key: a retry of it is another order."""
    return OrderId(os.urandom(16).hex())


def keyed_order_id(secret: bytes, customer_id: str, key: str) -> OrderId:
    """The one id that this customer's key stands for, on any gateway that knows the secret.

    An HMAC (RFC 2104), so that nobody can guess another shopper's id.
    """
    customer = customer_id.encode()
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    message = len(customer).to_bytes(2) + customer + key.encode()
    mac = _keyed(secret).copy()
    mac.update(message)
    return OrderId(mac.digest()[:16].hex())


@lru_cache(maxsize=8)
def _keyed(secret: bytes) -> hmac.HMAC:
    # To set the key up costs more than to digest so short a message.
    return hmac.new(secret, digestmod=hashlib.sha256)
