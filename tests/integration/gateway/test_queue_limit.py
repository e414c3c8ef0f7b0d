"""Several gateways keep a quorum queue to its limit, although the queue itself refuses late."""

import asyncio
from contextlib import AsyncExitStack

from flashsale.broker import Publisher, QueueFull, open_broker, sale_topology
from flashsale.domain.order_ids import random_order_id
from gateway.intake.queue_room import QueueRoom
from gateway.state.arrivals import OtherGateways
from gateway.state.backlog import Backlog
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.queue_position import QueuePosition
from gateway.state.stream_changes import StreamChanges
from tests.conftest import unique

LIMIT = 2000
GATEWAYS = 4
IN_FLIGHT = 200  # of each gateway; the queue takes up to 700 too many if nobody holds them back


async def fill(publisher: Publisher, exchange: str) -> int:
    """Publish with many in flight until the queue refuses; return how many it took."""
    taken = 0

    async def publish() -> None:
        nonlocal taken
        while True:
            try:
                await publisher.publish(exchange, "order", b"order", message_id=random_order_id())
            except QueueFull:
                return
            taken += 1

    await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))
    return taken


async def test_gateways_exceed_the_limit_of_a_quorum_queue_by_two_percent_at_most(
    rabbit_url: str,
) -> None:
    topology = sale_topology(f"{unique('room')}.", LIMIT, "quorum")
    async with AsyncExitStack() as stack:
        rooms = []
        for number in range(GATEWAYS):
            broker = await stack.enter_async_context(
                open_broker(rabbit_url, topology, publish_timeout=10)
            )
            assert broker.refuses_late(topology.orders)
            backlog = Backlog(
                broker, topology.orders, QueuePosition(KnownDrain(2000)), StreamChanges()
            )
            others = OtherGateways()
            for other in range(GATEWAYS):
                if other != number:
                    others.heard(str(other))
            rooms.append(QueueRoom(broker, LIMIT, backlog, others))
            counting = asyncio.create_task(backlog.follow())
            stack.callback(counting.cancel)
        async with asyncio.timeout(60):
            taken = await asyncio.gather(*(fill(room, topology.orders) for room in rooms))
        assert (await broker.depth(topology.orders)).ready == sum(taken)
    assert LIMIT <= sum(taken) <= LIMIT * 1.02
