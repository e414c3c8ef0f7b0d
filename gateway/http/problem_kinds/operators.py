"""The problems that only operators meet."""

from collections.abc import Mapping
from typing import Literal

OperatorKind = Literal[
    "unauthorized",
    "forbidden",
    "cross-site",
    "unknown-queue",
    "unknown-endpoint",
    "conflict",
    "stock-below-sold",
    "sale-has-sold",
    "precondition-failed",
    "invalid-change",
    "precondition-required",
    "broker-unreachable",
]
"""The problems of `/admin` and `/ops` only."""

OPERATOR_KINDS: Mapping[OperatorKind, tuple[int, str]] = {
    "unauthorized": (401, "This is for operators"),
    "forbidden": (403, "This is for another role"),
    "cross-site": (403, "This is not for pages of other sites"),
    "unknown-queue": (404, "No such queue"),
    "unknown-endpoint": (404, "No such endpoint"),
    "conflict": (409, "The change does not fit what is there"),
    "stock-below-sold": (409, "More items are sold"),
    "sale-has-sold": (409, "The sale has sold"),
    "precondition-failed": (412, "Somebody else has changed it"),
    "invalid-change": (422, "The change is not valid"),
    "precondition-required": (428, "The change must say what it changes"),
    "broker-unreachable": (503, "The broker does not answer"),
}
"""Each kind's status and title."""
