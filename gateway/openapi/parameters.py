"""Parameters that several operations take, and those in paths."""

from collections.abc import Mapping
from typing import Any

from flashsale.domain.operators.refusals import MAX_TEXT
from flashsale.domain.order_ids import ORDER_ID_PATTERN
from flashsale.domain.orders import SKU_PATTERN
from gateway.openapi.operation import Parameter

IN_PATHS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "order_id": ("The id of an order.", {"type": "string", "pattern": ORDER_ID_PATTERN}),
    "endpoint_id": (
        "The id of a webhook endpoint.",
        {"type": "string", "pattern": r"^[0-9a-f]{32}\Z"},
    ),
    "sku": ("The sku of a sale.", {"type": "string", "pattern": SKU_PATTERN}),
}
"""The description and the schema of each part of a path, by name."""

# Bare, without a quote, comma or semicolon; or in quotes, with a backslash before a quote.
_BARE = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x7e]{1,255}"
_QUOTED = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255}"'

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "The client's name for one request, the same in every retry: it is carried out once. In double"
    ' quotes if it has spaces, ";" or ",".',
    {"type": "string", "pattern": rf"^(?:{_BARE}|{_QUOTED})\Z"},
)

PURCHASE_PASS = Parameter(
    "Purchase-Pass", "header", "A pass of the shop: a signed token for one order of a sale."
)

IF_MATCH = Parameter(
    "If-Match",
    "header",
    "The `ETag` of the version to change, or `*` for any.",
    {"anyOf": [{"const": "*"}, {"type": "string", "pattern": r'^(?:W/)?"[!#-~]*"\Z'}]},
    required=True,
)

IF_MATCH_OR_ANY = Parameter(
    "If-Match", "header", "The `ETag` of the version to change; any without it.", IF_MATCH.schema
)

REASON = Parameter(
    "reason", "query", "Why, for the audit.", {"type": "string", "maxLength": MAX_TEXT}
)


def limit(largest: int, default: int, what: str) -> Parameter:
    """Return the parameter that says how many to answer with."""
    schema = {"type": "integer", "minimum": 1, "maximum": largest, "default": default}
    return Parameter("limit", "query", f"At most so many {what}.", schema)
