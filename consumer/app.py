"""Run the drain and the relay on an open stack."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from consumer.adaptive_pace import AdaptivePace
from consumer.announcer import Announcer
from consumer.dead_letters import DeadLetters
from consumer.drain_control import DrainControl
from consumer.drain_loop import DrainLoop
from consumer.drain_parts import DrainParts
from consumer.relay import Relay
from consumer.release_gate import ReleaseGate
from flashsale.broker import Topology
from flashsale.ledger import DeliveryLease
from flashsale.observability.broker_metrics import BrokerCollector
from flashsale.observability.consumer_metrics import ConsumerMetrics
from flashsale.observability.monitoring import monitored
from flashsale.runtime.background import Background, cancelled
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import Stack, installed_topology, open_stack, require_shared_broker

if TYPE_CHECKING:
    from consumer.delivery.delivery_loop import DeliveryLoop

METRICS_PORT = 9091
# The prefetch is four batches, so a batch is at hand for the next transaction.
_BATCHES_WHEN_LATE = 3


async def run_drain(
    settings: Settings,
    stack: Stack,
    services: Topology,
    metrics: ConsumerMetrics,
    stop: asyncio.Event,
) -> None:
    """Drain the sale's queue into the ledger, and relay its events, until `stop`.

    Declares the queues of `services` first, so that no event is published before they exist.
    """
    await stack.broker.extend(services)
    orders = stack.topology.orders
    largest = _largest_batch(settings)
    # A longer transaction would look to an adaptive rate as if the database were slow.
    may_make_up = largest is None and settings.drain_target_ms is None
    control = DrainControl(
        settings.drain_rate, largest, batches_when_late=_BATCHES_WHEN_LATE if may_make_up else 1
    )
    metrics.rate_limit.set_function(lambda: control.rate)
    metrics.rate_cap.set_function(lambda: control.cap)
    target = settings.drain_target_ms
    gate = ReleaseGate(control)
    metrics.clock_step_seconds.set_function(lambda: gate.clock.behind)
    announcer = Announcer(
        broker=stack.broker,
        exchange=stack.topology.outcomes,
        control=control,
        owners=settings.checks_tokens,
        clock=gate.clock.now,
    )
    relay = Relay(
        outbox=stack.ledger.outbox,
        broker=stack.broker,
        exchange=stack.topology.events,
        control=control,
        keep_seconds=settings.outbox_seconds,
        metrics=metrics,
    )
    parts = DrainParts(
        broker=stack.broker,
        queue=orders,
        leases=stack.ledger,
        control=control,
        gate=gate,
        dead_letters=DeadLetters(
            broker=stack.broker, exchange=orders, announcer=announcer, metrics=metrics
        ),
        announcer=announcer,
        wake_relay=relay.wake,
        metrics=metrics,
        tracing=stack.tracing,
    )
    adaptive = None if target is None else AdaptivePace(target / 1000, control, metrics)
    drained = asyncio.Event()
    async with _drain(settings, parts, adaptive) as drain:
        # A drain that fails loses its lease until it is started again, so another one can drain.
        draining = stack.background.start("drain", lambda: drain.run(stop), until=stop)
        relaying = stack.background.start("relay", lambda: relay.run(drained), until=drained)
        try:
            await draining
            drained.set()
            await relaying
        finally:
            await cancelled(draining, relaying)
            gate.close()


def _largest_batch(settings: Settings) -> int | None:
    if settings.receiver is None or settings.drain_batch is not None:
        return settings.drain_batch
    from consumer.delivery.beginning import largest_batch

    return largest_batch(settings.drain_rate)


@asynccontextmanager
async def _drain(
    settings: Settings, parts: DrainParts[DeliveryLease], adaptive: AdaptivePace | None
) -> AsyncIterator["DrainLoop | DeliveryLoop"]:
    """Open the drain into the ledger, or to the receiver that the settings name."""
    address = settings.receiver
    if address is None:
        yield DrainLoop(**vars(parts), adaptive=adaptive)
        return
    # Its client costs a drain without a receiver nothing.
    from consumer.delivery.delivery_loop import DeliveryLoop
    from consumer.delivery.route import open_route

    async with open_route(address, parts.control, parts.metrics) as route:
        yield DeliveryLoop(**vars(parts), route=route)


async def run_consumer(settings: Settings, stop: asyncio.Event) -> None:
    """Run a consumer process until `stop`.

    Raises the errors of `open_stack` and `installed_topology`, and `OSError`.
    """
    require_shared_broker(settings, "consumer")
    metrics = ConsumerMetrics()
    port = METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    async with (
        Background(metrics.registry) as background,
        monitored(metrics.registry, settings.metrics_host, port, background),
        open_stack(settings, "consumer", background) as stack,
    ):
        metrics.registry.register(BrokerCollector(stack.broker))
        await run_drain(settings, stack, installed_topology(settings), metrics, stop)
