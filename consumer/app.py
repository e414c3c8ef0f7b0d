"""The consumer: the drain on an open stack."""

import asyncio

from consumer.announcing import Announcer
from consumer.dead_letters import DeadLetters
from consumer.drain import Drainer
from consumer.releases import Gate
from consumer.speed import Speed
from flashsale.metrics import ConsumerMetrics, serve_metrics
from flashsale.pacing import Pacer
from flashsale.settings import Settings
from flashsale.stack import Stack, open_stack, require_shared_broker

METRICS_PORT = 9091


async def run_drain(
    settings: Settings, stack: Stack, metrics: ConsumerMetrics, stop: asyncio.Event
) -> None:
    """Drain the sale's queue into the ledger until `stop`."""
    metrics.rate_limit.set(settings.drain_rate)
    gate = Gate(Pacer(settings.drain_rate, settings.batch))
    orders = stack.topology.orders
    announcer = Announcer(stack.broker, stack.topology.outcomes, Speed(settings.drain_rate))
    drainer = Drainer(
        stack.broker,
        stack.ledger,
        gate,
        DeadLetters(stack.broker, orders, announcer, metrics),
        announcer,
        metrics,
        orders,
        settings.batch,
    )
    try:
        await drainer.run(stop)
    finally:
        gate.close()


async def run_consumer(settings: Settings, stop: asyncio.Event) -> None:
    """Run a consumer process until `stop`. Raises what `open_stack` raises, and `OSError`."""
    require_shared_broker(settings, "consumer")
    metrics = ConsumerMetrics()
    port = METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    with serve_metrics(metrics.registry, settings.metrics_host, port):
        async with open_stack(settings) as stack:
            await run_drain(settings, stack, metrics, stop)
