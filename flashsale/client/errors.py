"""What the client raises. Every error is a `ClientError`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from flashsale.domain.errors import FlashsaleError


class Problem(msgspec.Struct, frozen=True):
    """A problem document of the gateway (RFC 9457)."""

    type: str
    """Stable, such as `/problems/sold-out`."""
    status: int
    """The status of the answer."""
    title: str = ""
    detail: str = ""
    order_id: str | None = None
    """The id under which the order, or an earlier attempt at it, can be looked up."""
    earlier_attempt: str | None = None
    """`unknown` while nobody can know what became of an earlier attempt."""
    errors: tuple[Mapping[str, Any], ...] = ()
    """A `field` and a `detail` for each field that is wrong."""

    @property
    def kind(self) -> str:
        """The last part of the type, such as `sold-out`."""
        return self.type.rpartition("/")[2]


class ClientError(FlashsaleError):
    """Base class of the client's errors."""

    def __init__(
        self, message: str, *, order_id: str | None = None, problem: Problem | None = None
    ) -> None:
        super().__init__(message)
        self.order_id = order_id
        """The id of the order, if a gateway has told it."""
        self.problem = problem
        """The problem in the last answer; None if there was no answer of a gateway."""


class Refused(ClientError):
    """The gateway refuses the request for good. `problem` says why. There is no order."""

    problem: Problem

    def __init__(self, problem: Problem) -> None:
        message = f"{problem.kind}: {problem.detail or problem.title}"
        super().__init__(message, order_id=problem.order_id, problem=problem)


class NotTaken(ClientError):
    """The patience ran out, and no attempt was taken. There is no order.

    `retry_after` is the pause in seconds before the next attempt, as the last answer asked for it.
    """

    def __init__(self, problem: Problem | None, retry_after: float) -> None:
        kind = "no answer" if problem is None else problem.kind
        super().__init__(f"not taken ({kind}); come back in {retry_after:.1f} s", problem=problem)
        self.retry_after = retry_after


class OutcomeUnknown(ClientError):
    """The patience ran out, and it is not known whether the order was taken.

    To place the same intention again is safe, also after a restart: its key makes it one order.
    """

    def __init__(self, order_id: str | None, problem: Problem | None) -> None:
        super().__init__(
            "it is not known whether the order was taken", order_id=order_id, problem=problem
        )


class Undecided(ClientError):
    """No decision is told. The order still waits, or `problem` says why nobody tells it.

    Follow it again by its `order_id`.
    """

    order_id: str

    def __init__(self, order_id: str, problem: Problem | None) -> None:
        super().__init__(f"order {order_id} is not decided", order_id=order_id, problem=problem)


class UnknownOrder(ClientError):
    """No order of this id is known."""

    order_id: str

    def __init__(self, order_id: str, problem: Problem | None = None) -> None:
        super().__init__(f"no order {order_id} is known", order_id=order_id, problem=problem)
