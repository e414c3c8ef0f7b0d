"""The consumer: the drain and the relay on an open stack."""

import asyncio

from consumer.announcer import Announcer
from consumer.dead_letters import DeadLetters
from consumer.drain_loop import Drainer
from consumer.drain_speed import Speed
from consumer.relay import Relay
from consumer.release_gate import Gate
from flashsale.broker import Topology
from flashsale.domain.pacing import Pacer
from flashsale.observability.broker_metrics import BrokerCollector
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.monitoring import monitored
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, installed_topology, open_stack, require_shared_broker

METRICS_PORT = 9091


async def run_drain(
    settings: Settings,
    stack: Stack,
    services: Topology,
    metrics: ConsumerMetrics,
    stop: asyncio.Event,
) -> None:
    """Drain the sale's queue into the ledger, and relay its events, until `stop`.

    `services` is what stands on the broker for them: it must before the first event goes there.
    """
    await stack.broker.extend(services)
    metrics.rate_limit.set(settings.drain_rate)
    gate = Gate(Pacer(settings.drain_rate, settings.batch))
    orders = stack.topology.orders
    announcer = Announcer(stack.broker, stack.topology.outcomes, Speed(settings.drain_rate))
    relay = Relay(
        stack.ledger.outbox,
        stack.broker,
        stack.topology.events,
        settings.drain_rate,
        settings.outbox_seconds,
        metrics,
    )
    drainer = Drainer(
        stack.broker,
        stack.ledger,
        gate,
        DeadLetters(stack.broker, orders, announcer, metrics),
        announcer,
        relay.wake,
        metrics,
        orders,
        settings.batch,
        stack.tracing,
    )
    drained = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay.run(drained), name="relay")
            await drainer.run(stop)
            drained.set()
    finally:
        gate.close()


async def run_consumer(settings: Settings, stop: asyncio.Event) -> None:
    """Run a consumer process until `stop`.

    Raises what `open_stack` and `installed_topology` raise, and `OSError`.
    """
    require_shared_broker(settings, "consumer")
    metrics = ConsumerMetrics()
    port = METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    async with (
        monitored(metrics.registry, settings.metrics_host, port),
        open_stack(settings, "consumer") as stack,
    ):
        metrics.registry.register(BrokerCollector(stack.broker))
        await run_drain(settings, stack, installed_topology(settings), metrics, stop)
