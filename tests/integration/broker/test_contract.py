"""What every broker promises, embedded and real."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from flashsale.broker import (
    Broker,
    BrokerUnavailable,
    Deliveries,
    Delivery,
    QueueFull,
    Topology,
    Unroutable,
    open_broker,
)
from flashsale.broker.topology import Binding, Exchange, Queue


@pytest.fixture(params=["embedded", "rabbitmq"])
async def broker(request: pytest.FixtureRequest, topology: Topology) -> AsyncIterator[Broker]:
    url = "memory://" if request.param == "embedded" else request.getfixturevalue("rabbit_url")
    async with open_broker(url, topology, publish_timeout=5) as opened:
        yield opened


async def publish(broker: Broker, topology: Topology, *bodies: bytes) -> None:
    for body in bodies:
        await broker.publish(topology.orders, "order", body, message_id=body.decode())


async def receive(deliveries: Deliveries, count: int) -> list[bytes]:
    """Take `count` messages, without acknowledging them."""
    received: list[bytes] = []
    async with asyncio.timeout(60):
        while len(received) < count:
            await deliveries.wait()
            received += [delivery.body for delivery in deliveries.take(count - len(received))]
    return received


async def test_a_confirmed_message_is_delivered_with_its_id(
    broker: Broker, topology: Topology
) -> None:
    await broker.publish(
        topology.orders, "order", b"body", message_id="id-1", headers={"reason": "why", "n": 2}
    )
    async with broker.consume(topology.orders, prefetch=5) as deliveries:
        await deliveries.wait()
        [delivery] = deliveries.take(10)
        assert (delivery.body, delivery.message_id) == (b"body", "id-1")
        assert dict(delivery.headers) == {"reason": "why", "n": 2}
        assert not delivery.redelivered
        deliveries.ack_through(delivery)


async def test_messages_come_in_order_and_no_more_than_the_prefetch(
    broker: Broker, topology: Topology
) -> None:
    await publish(broker, topology, b"1", b"2", b"3", b"4", b"5")
    async with broker.consume(topology.orders, prefetch=2) as deliveries:
        assert await receive(deliveries, 2) == [b"1", b"2"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await deliveries.wait()


async def test_an_ack_counts_for_all_before_it(broker: Broker, topology: Topology) -> None:
    await publish(broker, topology, b"1", b"2", b"3", b"4")
    async with broker.consume(topology.orders, prefetch=3) as deliveries:
        await receive(deliveries, 1)
        async with asyncio.timeout(60):
            await deliveries.wait()
        deliveries.ack_through(deliveries.take(1)[0])
        assert await receive(deliveries, 2) == [b"3", b"4"]


async def test_messages_not_acknowledged_come_again_in_their_old_order(
    broker: Broker, topology: Topology
) -> None:
    await publish(broker, topology, b"1", b"2", b"3")
    async with broker.consume(topology.orders, prefetch=3) as deliveries:
        async with asyncio.timeout(60):
            await deliveries.wait()
        deliveries.ack_through(deliveries.take(1)[0])
        await receive(deliveries, 2)
    async with broker.consume(topology.orders, prefetch=3) as deliveries:
        again: list[Delivery] = []
        async with asyncio.timeout(60):
            while len(again) < 2:
                await deliveries.wait()
                again += deliveries.take(3)
        assert [(d.body, d.redelivered) for d in again] == [(b"2", True), (b"3", True)]
        deliveries.ack_through(again[-1])


async def test_a_full_queue_refuses_and_takes_again_once_there_is_room(
    broker: Broker, topology: Topology
) -> None:
    await publish(broker, topology, *(f"{n}".encode() for n in range(10)))
    with pytest.raises(QueueFull):
        await publish(broker, topology, b"too many")
    async with broker.consume(topology.orders, prefetch=1) as deliveries:
        await receive(deliveries, 1)
        await publish(broker, topology, b"room")
    depth = await broker.depth(topology.orders)
    assert depth.ready == 11  # what was given back is never refused


async def test_depth_counts_what_waits_and_who_reads(broker: Broker, topology: Topology) -> None:
    await publish(broker, topology, b"1", b"2")
    depth = await broker.depth(topology.orders)
    assert (depth.ready, depth.consumers) == (2, 0)
    async with broker.consume(topology.orders, prefetch=1) as deliveries:
        await receive(deliveries, 1)
        depth = await broker.depth(topology.orders)
        assert (depth.ready, depth.consumers) == (1, 1)


async def test_a_message_for_no_queue_is_unroutable(broker: Broker, topology: Topology) -> None:
    with pytest.raises(Unroutable):
        await broker.publish(topology.orders, "nowhere", b"x", message_id="m")
    await broker.publish(topology.orders, "nowhere", b"x", message_id="m", mandatory=False)
    await publish(broker, topology, b"after")
    assert (await broker.depth(topology.orders)).ready == 1


async def test_each_of_many_publishes_at_once_is_confirmed(
    broker: Broker, topology: Topology
) -> None:
    confirms = [
        broker.publish(topology.orders, "dead", b"m", message_id=str(n)) for n in range(500)
    ]
    assert await asyncio.gather(*confirms) == [None] * 500


async def test_an_open_broker_reports_no_trouble(broker: Broker) -> None:
    assert broker.trouble is None


async def test_a_closed_broker_says_so(broker: Broker, topology: Topology) -> None:
    await broker.__aexit__(None, None, None)
    assert broker.trouble is not None
    with pytest.raises(BrokerUnavailable):
        await publish(broker, topology, b"x")


@pytest.mark.parametrize("kind", ["embedded", "rabbitmq"])
async def test_direct_topic_and_fanout_exchanges_route_as_amqp_says(
    request: pytest.FixtureRequest, kind: str, topology: Topology
) -> None:
    prefix = topology.orders.removesuffix("sale.orders")
    queues = [f"{prefix}{name}" for name in ("tv", "any", "all")]
    fanout, topic = f"{prefix}fanout", f"{prefix}topic"
    wide = Topology(
        exchanges=(*topology.exchanges, Exchange(fanout, "fanout"), Exchange(topic, "topic")),
        queues=(*topology.queues, *(Queue(name) for name in queues)),
        bindings=(
            *topology.bindings,
            Binding(topic, queues[0], "order.confirmed.tv"),
            Binding(topic, queues[1], "order.*.tv"),
            Binding(topic, queues[2], "order.#"),
            *(Binding(fanout, name, "") for name in queues),
        ),
    )
    url = "memory://" if kind == "embedded" else request.getfixturevalue("rabbit_url")
    async with open_broker(url, wide, publish_timeout=5) as broker:

        async def depths() -> list[int]:
            return [(await broker.depth(name)).ready for name in queues]

        for key, expected in (
            ("order.confirmed.tv", [1, 1, 1]),
            ("order.rejected.tv", [1, 2, 2]),
            ("order", [1, 2, 3]),
        ):
            await broker.publish(topic, key, b"m", message_id="m")
            assert await depths() == expected
        with pytest.raises(Unroutable):
            await broker.publish(topic, "mail", b"m", message_id="m")
        await broker.publish(fanout, "whatever", b"m", message_id="m")
        assert await depths() == [2, 3, 4]


async def test_every_listener_hears_what_is_published_while_it_listens(
    broker: Broker, topology: Topology
) -> None:
    async def tell(body: bytes) -> None:
        await broker.publish(topology.outcomes, "", body, message_id="", mandatory=False)

    await tell(b"before")
    async with broker.subscribe(topology.outcomes) as first:
        await tell(b"one")
        async with broker.subscribe(topology.outcomes) as second:
            await tell(b"two")
            await tell(b"three")
            assert await receive(first, 3) == [b"one", b"two", b"three"]
            assert await receive(second, 2) == [b"two", b"three"]
        await tell(b"four")
        assert await receive(first, 1) == [b"four"]
        # Nothing of it goes back anywhere.
        first.ack_through(Delivery(9, b""))
    await tell(b"after")


async def test_an_embedded_broker_that_closes_ends_its_listeners(topology: Topology) -> None:
    async with open_broker("memory://", topology, publish_timeout=5) as broker:
        subscription = broker.subscribe(topology.outcomes)
        listening = await subscription.__aenter__()
    with pytest.raises(BrokerUnavailable):
        await listening.wait()
    await subscription.__aexit__(None, None, None)


async def test_messages_may_be_acknowledged_in_any_order(
    broker: Broker, topology: Topology
) -> None:
    await publish(broker, topology, b"1", b"2", b"3")
    async with broker.consume(topology.orders, prefetch=3) as deliveries:
        taken: list[Delivery] = []
        async with asyncio.timeout(60):
            while len(taken) < 3:
                await deliveries.wait()
                taken += deliveries.take(3)
        deliveries.ack(taken[2])
        deliveries.ack(taken[0])
    async with broker.consume(topology.orders, prefetch=3) as deliveries:
        assert await receive(deliveries, 1) == [b"2"]


async def test_a_delayed_message_comes_later_and_holds_up_nobody(
    broker: Broker, topology: Topology
) -> None:
    later = Queue(f"{topology.orders}.later", delay_seconds=0.5, expires_to=topology.orders)
    await broker.extend(Topology((), (later,), ()))
    await broker.publish("", later.name, b"late", message_id="late", headers={"attempts": 2})
    await publish(broker, topology, b"soon")
    async with broker.consume(topology.orders, prefetch=3) as deliveries:
        assert await receive(deliveries, 1) == [b"soon"]
        async with asyncio.timeout(60):
            await deliveries.wait()
        [late] = deliveries.take(1)
        assert (late.body, late.message_id, late.headers["attempts"]) == (b"late", "late", 2)


async def test_a_service_extends_the_topology_with_its_queue(
    broker: Broker, topology: Topology
) -> None:
    mine = Queue(f"{topology.orders}.mine")
    bound = Binding(topology.events, mine.name, "order.confirmed.#")
    for _ in range(2):
        await broker.extend(Topology((), (mine,), (bound,)))
    await broker.publish(topology.events, "order.confirmed.tv-55", b"yes", message_id="1")
    with pytest.raises(Unroutable):
        await broker.publish(topology.events, "order.rejected.tv-55", b"no", message_id="2")
    async with broker.consume(mine.name, prefetch=3) as deliveries:
        assert await receive(deliveries, 1) == [b"yes"]
