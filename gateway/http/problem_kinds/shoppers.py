"""The problems that any client may meet."""

from collections.abc import Mapping
from typing import Literal

ShopperKind = Literal[
    "bad-request",
    "bad-json",
    "bad-idempotency-key",
    "not-found",
    "unknown-order",
    "unknown-sku",
    "method-not-allowed",
    "slow-request",
    "sale-not-open",
    "sale-closed",
    "sold-out",
    "body-too-large",
    "uri-too-long",
    "unsupported-media-type",
    "expectation-failed",
    "invalid-order",
    "key-reused",
    "headers-too-large",
    "internal",
    "intake-paused",
    "queue-full",
    "broker-unavailable",
    "too-many-streams",
    "ledger-unavailable",
    "not-ready",
    "version-not-supported",
]
"""The problems of orders, sales and of any request."""

SHOPPER_KINDS: Mapping[ShopperKind, tuple[int, str]] = {
    "bad-request": (400, "The request could not be read"),
    "bad-json": (400, "The body is not JSON"),
    "bad-idempotency-key": (400, "The Idempotency-Key is not valid"),
    "not-found": (404, "Nothing is here"),
    "unknown-order": (404, "No such order"),
    "unknown-sku": (404, "No such sale"),
    "method-not-allowed": (405, "This method is not for this address"),
    "slow-request": (408, "The request did not come in time"),
    "sale-not-open": (409, "The sale has not begun"),
    "sale-closed": (409, "The sale is over"),
    "sold-out": (409, "Sold out"),
    "body-too-large": (413, "The body is too large"),
    "uri-too-long": (414, "The address is too long"),
    "unsupported-media-type": (415, "The body must be plain application/json"),
    "expectation-failed": (417, "Nothing but 100-continue may be expected"),
    "invalid-order": (422, "The order is not valid"),
    "key-reused": (422, "This Idempotency-Key came with another request"),
    "headers-too-large": (431, "The headers are too large"),
    "internal": (500, "Something went wrong here"),
    "intake-paused": (503, "Orders are not taken now"),
    "queue-full": (503, "Too many orders are waiting"),
    "broker-unavailable": (503, "It is not known whether the order was taken"),
    "too-many-streams": (503, "Too many event streams are open"),
    "ledger-unavailable": (503, "The database does not answer"),
    "not-ready": (503, "Not ready"),
    "version-not-supported": (505, "This version of HTTP is not spoken here"),
}
"""Each kind's status and title."""
