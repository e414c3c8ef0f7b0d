"""The body of a problem: its members by RFC 9457, and those that some kinds have beside."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

import msgspec


class FieldError(TypedDict):
    """A field of the request that is wrong. An empty name stands for the whole body."""

    field: str
    detail: str


class ProblemDetails(msgspec.Struct, omit_defaults=True):
    """Why a request has failed (RFC 9457). Clients switch on the `type`.

    `order_id` is the id under which the order, or an earlier attempt at it, can be looked up.
    `earlier_attempt` is there if nobody can know now what became of that attempt. `errors` lists
    the wrong fields, `checks` the parts that are not ready. `request_id` is the id of the request
    in the log. `count` and `ids` are of the dead letters that were done before the failure.
    """

    type: str
    title: str
    status: int
    detail: str
    order_id: str | None = None
    earlier_attempt: Literal["unknown"] | None = None
    errors: Sequence[FieldError] | None = None
    checks: Mapping[str, str] | None = None
    request_id: str | None = None
    count: int | None = None
    ids: Sequence[str] | None = None
