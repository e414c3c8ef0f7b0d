"""Open tracing if it is enabled. If it is off, the default, OpenTelemetry is not imported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from flashsale.observability.errors import TracingUnavailable

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing


@asynccontextmanager
async def open_tracing(enabled: bool, process: str, broker: str) -> AsyncIterator["Tracing | None"]:
    """Yield the tracing of this process, or None if tracing is not `enabled`.

    `broker` is the value of `messaging.system` in OpenTelemetry's conventions. Remaining spans are
    sent at the end. Raises `TracingUnavailable`.
    """
    if not enabled:
        yield None
        return
    try:
        from flashsale.observability.spans import otlp_tracing
    except ImportError as error:
        raise TracingUnavailable(
            f"FLASHSALE_TRACING=true: needs OpenTelemetry ({error.name} is missing): `pip install"
            " flashsale-gateway[tracing]`"
        ) from error
    tracing = otlp_tracing(process, broker)
    try:
        yield tracing
    finally:
        await asyncio.to_thread(tracing.close)
