"""Whether there are spans. Off, as by default, OpenTelemetry is not even imported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from flashsale.observability.errors import TracingUnavailable

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing


@asynccontextmanager
async def open_tracing(enabled: bool, process: str, broker: str) -> AsyncIterator["Tracing | None"]:
    """Yield what makes the spans of this process, or None if tracing is not `enabled`.

    `broker` is what OpenTelemetry's conventions call the kind of broker. Spans that are left are
    sent at the end. Raises `TracingUnavailable`.
    """
    if not enabled:
        yield None
        return
    try:
        from flashsale.observability.spans import spans_by_otlp
    except ImportError as error:
        raise TracingUnavailable(
            f"FLASHSALE_TRACING=true: needs OpenTelemetry ({error.name} is missing): `pip install"
            " flashsale-gateway[tracing]`"
        ) from error
    tracing = spans_by_otlp(process, broker)
    try:
        yield tracing
    finally:
        await asyncio.to_thread(tracing.close)
