"""Whether there are spans. Off, as by default, OpenTelemetry is not even imported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from flashsale.broker.port import Headers
from flashsale.runtime.settings import PREFIX, Settings, SettingsError

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing

TRACEPARENT = "traceparent"
"""The header that carries the context of a span (W3C Trace Context), over HTTP and over AMQP.

Only what is recorded carries it between our processes, so that all else costs nothing there. Its
companion `tracestate`, which may hold whatever a client sent, ends at the gateway.
"""


@asynccontextmanager
async def open_tracing(settings: Settings, process: str) -> AsyncIterator["Tracing | None"]:
    """The spans of this process, sent off until the end; None if there are none to be.

    Raises `SettingsError` if it is on and can't be.
    """
    if not settings.tracing:
        yield None
        return
    try:
        from flashsale.observability.spans import spans_by_otlp
    except ImportError as error:
        raise SettingsError(
            f"{PREFIX}TRACING=true: needs OpenTelemetry ({error.name} is missing): `pip install"
            " flashsale-gateway[tracing]`"
        ) from error
    tracing = spans_by_otlp(process, "memory" if settings.embedded else "rabbitmq")
    try:
        yield tracing
    finally:
        await asyncio.to_thread(tracing.close)


def carried(headers: Headers) -> Headers:
    """Of the headers of a message, what belongs to its next copy as well: the trace it is in."""
    return {TRACEPARENT: headers[TRACEPARENT]} if TRACEPARENT in headers else {}


def carrying(traceparent: str | None) -> Headers:
    """The headers of a message that is part of that; none if it is part of nothing recorded."""
    return {} if traceparent is None else {TRACEPARENT: traceparent}
