"""Order ids: random, or derived from a customer and an Idempotency-Key, or from a pass."""

import hashlib
import hmac
import os
import re
from functools import lru_cache
from typing import NewType

OrderId = NewType("OrderId", str)
"""32 hexadecimal digits."""

ORDER_ID_PATTERN = r"^[0-9a-f]{32}\Z"
_ORDER_ID = re.compile(ORDER_ID_PATTERN)

_ID_BYTES = 16
_AT_ONCE = 256
_OF_ONE = re.compile(f".{{{2 * _ID_BYTES}}}")
_unused: list[OrderId] = []
# A child of this process must not use them, too.
os.register_at_fork(after_in_child=_unused.clear)


def is_order_id(text: str) -> bool:
    """Return whether a text may be the id of an order."""
    return _ORDER_ID.match(text) is not None


def random_order_id() -> OrderId:
    """Return an id for an order without a key: a retry of it is another order.

    A system call for each order would take more time than all that makes its message.
    """
    while True:
        try:
            return _unused.pop()
        except IndexError:
            digits = os.urandom(_ID_BYTES * _AT_ONCE).hex()
            _unused.extend(OrderId(id_) for id_ in _OF_ONE.findall(digits))


def keyed_order_id(secret: bytes, customer_id: str, key: str) -> OrderId:
    """Return the id for this customer's key. Every gateway with the secret returns the same id.

    The id is an HMAC (RFC 2104), so that nobody can guess another shopper's id.
    """
    customer = customer_id.encode()
    # The length makes ("ab", "c") and ("a", "bc") different messages.
    message = len(customer).to_bytes(2) + customer + key.encode()
    mac = _keyed(secret).copy()
    mac.update(message)
    return OrderId(mac.digest()[:_ID_BYTES].hex())


def pass_order_id(secret: bytes, sku: str, jti: str) -> OrderId:
    """Return the id of the one order that a pass is for, whoever uses it and under whatever key."""
    # No length of a customer's id is so large, and no sku has a NUL: the message is no other one.
    message = b"\xff\xff" + sku.encode() + b"\0" + jti.encode()
    mac = _keyed(secret).copy()
    mac.update(message)
    return OrderId(mac.digest()[:_ID_BYTES].hex())


@lru_cache(maxsize=8)
def _keyed(secret: bytes) -> hmac.HMAC:
    # The key set-up costs more than the digest of a short message.
    return hmac.new(secret, digestmod=hashlib.sha256)
