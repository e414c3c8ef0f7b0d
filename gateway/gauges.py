"""The gauges of what a gateway knows."""

import asyncio

from gateway.context import Context
from gateway.state.backlog import SAMPLE_SECONDS


async def follow_gauges(context: Context) -> None:
    """Keep the gauges up to date."""
    metrics = context.metrics
    key_set = context.identity.key_set if context.identity else None
    metrics.backlog_limit.set(context.settings.queue_max_length)
    while True:
        metrics.backlog.set(context.backlog.ready)
        metrics.intake_paused.set(context.controls.current.intake_paused)
        metrics.remembered.set(len(context.orders))
        if context.client_limits is not None:
            context.client_limits.expire()
            metrics.clients.set(len(context.client_limits))
        if key_set is not None:
            metrics.token_keys_age.set(key_set.age_seconds)
        await asyncio.sleep(SAMPLE_SECONDS)
