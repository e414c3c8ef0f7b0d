"""What the answer of a receiver means for the order that was sent to it."""

from enum import StrEnum

import msgspec

from flashsale.domain.order_states import Reason


class Trouble(StrEnum):
    """Why an attempt has decided nothing, in the words of the metrics."""

    CONNECTION_REFUSED = "connection_refused"
    UNRESOLVED = "unresolved"
    TLS = "tls"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BROKEN_OFF = "broken_off"
    """The connection ended before the answer did."""
    MALFORMED = "malformed"
    """What came is no answer of HTTP, or not one answer for each order of a batch."""
    SERVER_ERROR = "server_error"
    STILL_AT_FIRST = "still_at_first"
    """The receiver is still busy with an earlier attempt for the same order."""


class Taken(msgspec.Struct, frozen=True):
    """The receiver has the order. `order_ref` is its own name for it, None if it told none."""

    order_ref: str | None = None


class Refused(msgspec.Struct, frozen=True):
    """The receiver has decided against the order."""

    reason: Reason


class TryAgain(msgspec.Struct, frozen=True):
    """Nothing is decided. The attempt is counted.

    `unknown` says whether the receiver may have the order: the request may have reached it. If it
    surely has not, the circuit breaker counts the attempt as a refused connection.
    """

    reason: str
    unknown: bool = True
    trouble: Trouble = Trouble.BROKEN_OFF


class Busy(msgspec.Struct, frozen=True):
    """The receiver wants nothing at all for so many seconds, None if it did not say for how long.

    The attempt is not counted.
    """

    reason: str
    seconds: float | None = None


class Undeliverable(msgspec.Struct, frozen=True):
    """The receiver will never take the order as it is. It is a dead letter at once."""

    reason: str


Answer = Taken | Refused | TryAgain | Busy | Undeliverable


def kind_of(answer: Answer) -> str:
    """Return the kind of an answer, as metrics count it."""
    match answer:
        case Taken():
            return "taken"
        case Refused():
            return "refused"
        case Busy():
            return "busy"
        case Undeliverable():
            return "undeliverable"
        case TryAgain(trouble=trouble):
            return trouble.value
