"""The kinds of problems, each with its status and title. They are part of the API."""

from collections.abc import Mapping

from gateway.http.problem_kinds.holds import HOLD_KINDS, HoldKind
from gateway.http.problem_kinds.operators import OPERATOR_KINDS, OperatorKind
from gateway.http.problem_kinds.shoppers import SHOPPER_KINDS, ShopperKind

ProblemKind = ShopperKind | HoldKind | OperatorKind
"""The last part of a problem's `type`: clients switch on it."""

KINDS: Mapping[ProblemKind, tuple[int, str]] = dict(
    [*SHOPPER_KINDS.items(), *HOLD_KINDS.items(), *OPERATOR_KINDS.items()]
)
"""Each kind's status and title."""

__all__ = ["KINDS", "ProblemKind"]
