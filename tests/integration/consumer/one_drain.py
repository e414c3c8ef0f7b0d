"""A drain on an open broker and ledger, without the rest of a consumer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consumer.adaptive_pace import AdaptivePace
from consumer.announcer import Announcer
from consumer.dead_letters import DeadLetters
from consumer.drain_control import DrainControl
from consumer.drain_loop import DrainLoop
from consumer.release_gate import ReleaseGate
from flashsale.broker import Broker, Topology
from flashsale.domain.orders import Order
from flashsale.ledger import DrainLease, Leases, Ledger
from flashsale.messages.orders import encode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics


@dataclass(frozen=True)
class Drain:
    """The parts of a drain that tests look at."""

    control: DrainControl
    gate: ReleaseGate

    async def released(self, orders: int) -> None:
        """Wait until so many orders were released."""
        async with asyncio.timeout(60):
            while self.gate.log.total < orders:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def draining(
    broker: Broker, topology: Topology, ledger: Ledger, rate: int, orders: Sequence[Order]
) -> AsyncIterator[Drain]:
    """Drain these orders at that rate until the end of the block."""
    for order in orders:
        await broker.publish(topology.orders, "order", encode_order(order), message_id=order.id)
    control = DrainControl(rate)
    async with running(broker, topology, ledger, control, ConsumerMetrics()) as gate:
        yield Drain(control, gate)


@asynccontextmanager
async def running(
    broker: Broker,
    topology: Topology,
    leases: Leases[DrainLease],
    control: DrainControl,
    metrics: ConsumerMetrics,
    adaptive: AdaptivePace | None = None,
) -> AsyncIterator[ReleaseGate]:
    """Run a drain until the end of the block."""
    stop = asyncio.Event()
    announcer = Announcer(broker=broker, exchange=topology.outcomes, control=control)
    gate = ReleaseGate(control)
    drain = DrainLoop(
        broker=broker,
        queue=topology.orders,
        leases=leases,
        control=control,
        gate=gate,
        dead_letters=DeadLetters(
            broker=broker, exchange=topology.orders, announcer=announcer, metrics=metrics
        ),
        announcer=announcer,
        wake_relay=lambda _: None,
        metrics=metrics,
        adaptive=adaptive,
    )
    task = asyncio.create_task(drain.run(stop))
    try:
        yield gate
    finally:
        stop.set()
        await task
        gate.close()
