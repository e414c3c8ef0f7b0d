"""The place in line, and when to come back."""

from flashsale.broker import EmbeddedBroker, Topology
from gateway.backlog import Backlog


async def queued(broker: EmbeddedBroker, topology: Topology, backlog: Backlog) -> int:
    await broker.publish(topology.orders, "order", b"order", message_id="m")
    return backlog.published()


async def test_positions_count_down_as_the_queue_drains(topology: Topology) -> None:
    async with EmbeddedBroker(topology) as broker:
        backlog = Backlog(broker, topology.orders, drain_rate=2)
        await backlog.count()
        numbers = [await queued(broker, topology, backlog) for _ in range(4)]
        assert [backlog.position(n) for n in numbers] == [1, 2, 3, 4]
        assert backlog.eta_seconds(4) is None  # nobody drains
        async with broker.consume(topology.orders, prefetch=2) as deliveries:
            await backlog.count()
            assert [backlog.position(n) for n in numbers] == [1, 1, 1, 2]
            assert backlog.eta_seconds(4) == 2.0
            deliveries.ack_through(deliveries.take(2)[-1])
            await backlog.count()
            assert [backlog.position(n) for n in numbers] == [1, 1, 1, 1]
        # What was given back is ahead again, but nobody's place gets worse.
        await backlog.count()
        assert backlog.position(numbers[3]) == 1


async def test_orders_from_before_the_gateway_are_ahead_of_its_own(topology: Topology) -> None:
    async with EmbeddedBroker(topology) as broker:
        for _ in range(3):
            await broker.publish(topology.orders, "order", b"order", message_id="m")
        backlog = Backlog(broker, topology.orders, drain_rate=2)
        await backlog.count()
        assert backlog.position(await queued(broker, topology, backlog)) == 4


async def test_a_flood_of_refused_is_spread_over_the_time_that_it_needs(
    topology: Topology,
) -> None:
    async with EmbeddedBroker(topology) as broker:
        backlog = Backlog(broker, topology.orders, drain_rate=100)
        waits = [backlog.retry_after() for _ in range(1000)]
        assert max(waits[:10]) <= 1.2
        assert max(waits[-100:]) > 5
        assert min(waits[-100:]) < 3
