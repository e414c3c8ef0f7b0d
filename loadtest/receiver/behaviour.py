"""How the order service misbehaves, if it is told to."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The misbehaviour; by default there is none.

    With `answer` each order is answered with that status, and `retry_after` (seconds, or a date)
    in its header. `delay_seconds` pass before an order is looked at. With `hangs` no order is
    answered at all.
    """

    answer: Annotated[int, Meta(ge=200, le=599)] | None = None
    retry_after: str | None = None
    delay_seconds: Annotated[float, Meta(ge=0)] = 0.0
    hangs: bool = False
