"""The names and meanings of message headers that two processes share."""

from collections.abc import Mapping
from typing import Final

Headers = Mapping[str, str | int]
"""The headers of a message. Floats are excluded because pika can't encode them."""

TRACEPARENT: Final = "traceparent"
"""The context of a span (W3C Trace Context), over HTTP and AMQP.

Only recorded traces are passed on between the processes, so that unrecorded ones cost nothing. The
header `tracestate` is not passed on, as a client may put anything in it.
"""

REPLAYED: Final = "replayed"
"""When an operator sent a dead letter back to its queue, in whole Unix seconds."""

REASON: Final = "reason"
"""Why the latest attempt failed."""

ATTEMPTS: Final = "attempts"
"""How many attempts have failed."""

DEFERRALS: Final = "deferrals"
"""How many times the message was put aside without a failed attempt."""

DIED_AT: Final = "died_at"
"""When the message was moved to a dead queue, in whole Unix seconds."""

LONGEST_REASON: Final = 500
"""The longest reason in characters. Longer ones are cut off."""


def trace_headers(traceparent: str | None) -> Headers:
    """Return the headers of a message in that trace; none if it belongs to no recorded trace."""
    return {} if traceparent is None else {TRACEPARENT: traceparent}


def traceparent_of(headers: Headers) -> str | None:
    """Return the traceparent of a message, None if it belongs to no recorded trace."""
    value = headers.get(TRACEPARENT)
    return value if isinstance(value, str) else None


def copied_headers(headers: Headers) -> Headers:
    """Return the headers that the next copy of a message keeps: the trace that it is in."""
    return {TRACEPARENT: headers[TRACEPARENT]} if TRACEPARENT in headers else {}


def failure_headers(reason: str) -> Headers:
    """Return the headers of a message whose attempt failed for that reason."""
    return {REASON: short_reason(reason)}


def short_reason(reason: str) -> str:
    """Return a reason that a header can hold: cut off, and in UTF-8.

    The words of others may contain what UTF-8 can't, such as bytes of another encoding.
    """
    return reason.encode(errors="backslashreplace").decode()[:LONGEST_REASON]


def attempts(headers: Headers) -> int:
    """Return how many attempts have failed, 0 if the message does not say."""
    return _number(headers, ATTEMPTS)


def deferrals(headers: Headers) -> int:
    """Return how many times the message was put aside."""
    return _number(headers, DEFERRALS)


def replayed_at(headers: Headers) -> int:
    """Return when the message was replayed, in Unix seconds; 0 if it was not."""
    return _number(headers, REPLAYED)


def _number(headers: Headers, name: str) -> int:
    value = headers.get(name, 0)
    return value if isinstance(value, int) else 0
