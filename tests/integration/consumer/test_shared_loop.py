"""A drain in the process of a gateway leaves the event loop to others between its batches."""

import asyncio
import time

from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate
from flashsale.broker import open_broker, sale_topology
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.messages.orders import encode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics
from tests.conftest import an_order
from tests.integration.consumer.one_drain import running

RATE = 2000
BATCHES = 12


async def test_a_drain_that_is_late_lets_the_loop_turn_after_each_batch(sqlite_url: str) -> None:
    topology = sale_topology("", max_length=10_000, queue_type="classic")
    loop = asyncio.get_running_loop()
    turns = 0
    turns_at_releases: list[int] = []

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    def slow_disk(gate: ReleaseGate) -> None:
        release = gate.release

        def slow(wanted: int, *, whole: bool = False) -> int:
            count = release(wanted, whole=whole)
            if count:
                turns_at_releases.append(turns)
                time.sleep(0.05)  # the drain is late: it never has to wait for its pace
            return count

        gate.release = slow  # type: ignore[method-assign]

    async with open_ledger(sqlite_url) as ledger, open_broker("memory://", topology, 5) as broker:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1_000_000))
        for _ in range(BATCHES * RATE // 40):
            order = an_order(accepted_at=time.time())
            await broker.publish(topology.orders, "order", encode_order(order), message_id=order.id)
        control = DrainControl(RATE)
        async with (
            asyncio.timeout(60),
            running(broker, topology, ledger, control, ConsumerMetrics()) as gate,
        ):
            slow_disk(gate)
            turn()
            while len(turns_at_releases) < BATCHES:
                await asyncio.sleep(0.001)
    assert len(set(turns_at_releases)) == BATCHES
