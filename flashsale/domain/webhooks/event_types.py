"""The types of events that are sent to webhook endpoints, and the patterns that select them."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from flashsale.domain.operators.refusals import ChangeRefused

CONFIRMED = "order.confirmed"
REJECTED = "order.rejected"
ENDPOINT_DISABLED = "endpoint.disabled"
TEST = "webhook.test"
"""Sent to one endpoint when an operator asks for it, whatever the endpoint subscribes to."""

ORDER_TYPES = (
    CONFIRMED,
    REJECTED,
    "order.held",
    "order.waitlisted",
    "order.expired",
    "order.cancelled",
    "order.refund_due",
)
"""One for each status of an event about an order."""

KNOWN = (*ORDER_TYPES, ENDPOINT_DISABLED)
"""The types that an endpoint can subscribe to."""

EVERYTHING = "*"
_MOST_PATTERNS = 20
# A type, `order.*` for the types that begin so, or `*` for all.
_PATTERN = re.compile(r"\*|[a-z]+\.(\*|[a-z_]+)")


def order_event_type(status: str) -> str:
    """Return the type of the event of an order that was decided with this status."""
    return f"order.{status}"


def subscribes(patterns: Iterable[str], event_type: str) -> bool:
    """Return whether one of the patterns selects events of this type."""
    return any(fnmatchcase(event_type, pattern) for pattern in patterns)


def require_patterns(patterns: Sequence[str]) -> None:
    """Raise `ChangeRefused` unless each pattern selects at least one known type."""
    if not 1 <= len(patterns) <= _MOST_PATTERNS:
        raise ChangeRefused("event_types", f"must be 1 to {_MOST_PATTERNS} types or patterns")
    for pattern in patterns:
        known = _PATTERN.fullmatch(pattern) and any(subscribes([pattern], t) for t in KNOWN)
        if not known:
            raise ChangeRefused(
                "event_types",
                f"{pattern[:64]!r} selects nothing: use {', '.join(KNOWN)}, order.* or *",
            )
