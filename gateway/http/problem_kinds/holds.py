"""The problems of payments, cancellations and extensions."""

from collections.abc import Mapping
from typing import Literal

HoldKind = Literal[
    "invalid-payment",
    "bad-signature",
    "never-held",
    "payment-of-other-order",
    "not-cancellable",
    "order-over",
    "not-held",
    "not-extendable",
    "extended-already",
    "wrong-amount",
]
"""The problems of orders that are held, and of those who tell of payments."""

HOLD_KINDS: Mapping[HoldKind, tuple[int, str]] = {
    "invalid-payment": (400, "The payment is not valid"),
    "bad-signature": (401, "The signature is not valid"),
    "never-held": (409, "The order never held an item"),
    "payment-of-other-order": (409, "This payment is of another order"),
    "not-cancellable": (409, "The order can not be cancelled"),
    "order-over": (409, "The order is over"),
    "not-held": (409, "The order holds nothing"),
    "not-extendable": (409, "The hold can not be extended"),
    "extended-already": (409, "The hold was extended before"),
    "wrong-amount": (422, "The amount is not that of the order"),
}
"""Each kind's status and title."""
