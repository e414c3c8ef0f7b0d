"""The limit and type of a RabbitMQ queue are changed by its consumer, with no message lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from unittest.mock import patch

import pytest

from flashsale.broker import (
    BrokerUnavailable,
    Deliveries,
    QueueFull,
    QueueType,
    RabbitMQ,
    Topology,
    TopologyMismatch,
    Unroutable,
    sale_topology,
)
from flashsale.broker.rabbitmq.connection import Connection
from flashsale.broker.rabbitmq.queues.declaration import DeclaringChannel
from flashsale.broker.topology import Binding
from tests.conftest import unique

TYPES = pytest.mark.parametrize(
    ("type_before", "type_after"),
    [("classic", "classic"), ("quorum", "quorum"), ("classic", "quorum")],
)


@asynccontextmanager
async def opened(url: str, topology: Topology) -> AsyncIterator[RabbitMQ]:
    async with RabbitMQ(url, topology, publish_timeout=10) as broker:
        yield broker


async def fill(broker: RabbitMQ, topology: Topology, most: int = 60) -> list[bytes]:
    """Publish until the queue refuses; return what it took."""
    taken: list[bytes] = []
    for _ in range(most):
        body = unique("order").encode()
        try:
            await broker.publish(topology.orders, "order", body, message_id=body.decode())
        except (QueueFull, Unroutable):
            break
        taken.append(body)
    return taken


async def drain(deliveries: Deliveries, into: list[bytes]) -> None:
    while True:
        await deliveries.wait()
        batch = deliveries.take(3)
        into += [delivery.body for delivery in batch]
        await asyncio.sleep(0.01)
        deliveries.ack_through(batch[-1])


@asynccontextmanager
async def consuming(url: str, topology: Topology, into: list[bytes]) -> AsyncIterator[RabbitMQ]:
    """Drain the queue of orders meanwhile; consume again when interrupted."""

    async def keep_draining() -> None:
        while True:
            with suppress(BrokerUnavailable):
                async with consumer.consume(topology.orders, 5) as orders:
                    await drain(orders, into)

    async with opened(url, topology) as consumer, asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(keep_draining())
        try:
            yield consumer
        finally:
            draining.cancel()


async def until_changed(url: str, topology: Topology) -> None:
    """Return once the queue of orders is as the topology asks for."""
    connection = await Connection.connect(url)
    try:
        async with asyncio.timeout(60):
            while True:
                await asyncio.sleep(0.1)
                channel = await DeclaringChannel.open(connection)
                with suppress(TopologyMismatch):
                    await channel.declare_queue(topology.queues[0])
                    return
    finally:
        await connection.close()


@TYPES
@pytest.mark.parametrize(("before", "after"), [(10, 25), (25, 10)])
async def test_the_consumer_gives_a_queue_with_orders_its_new_limit_and_type(
    rabbit_url: str, type_before: QueueType, type_after: QueueType, before: int, after: int
) -> None:
    prefix = unique("limit") + "."
    old = sale_topology(prefix, before, type_before)
    new = sale_topology(prefix, after, type_after)
    drained: list[bytes] = []
    async with opened(rabbit_url, old) as old_gateway, opened(rabbit_url, new) as gateway:
        taken = await fill(gateway, new)
        assert before <= len(taken) <= before + (type_before == "quorum")
        async with consuming(rabbit_url, new, drained):
            await until_changed(rabbit_url, new)
            assert drained == taken
        # Also by a gateway that still has the old limit.
        taken = await fill(old_gateway, old)
        assert after <= len(taken) <= after + (type_after == "quorum")
        assert (await gateway.depth(new.orders)).ready == len(taken)


@TYPES
async def test_no_order_is_lost_while_gateways_publish_and_change_one_after_the_other(
    rabbit_url: str, type_before: QueueType, type_after: QueueType
) -> None:
    prefix = unique("limit") + "."
    old = sale_topology(prefix, 8, type_before)
    new = sale_topology(prefix, 12, type_after)
    drained: list[bytes] = []
    accepted: list[bytes] = []
    deepest = 0

    async def sell(topology: Topology, stop: asyncio.Event) -> None:
        nonlocal deepest
        async with opened(rabbit_url, topology) as gateway:
            while not stop.is_set():
                accepted.extend(await fill(gateway, topology, most=20))
                with suppress(BrokerUnavailable):  # there is no queue for a moment
                    deepest = max(deepest, (await gateway.depth(topology.orders)).ready)
                await asyncio.sleep(0.005)

    stops = [asyncio.Event() for _ in range(4)]
    async with asyncio.TaskGroup() as tasks:
        gateways = [tasks.create_task(sell(old, stop)) for stop in stops[:2]]
        async with consuming(rabbit_url, old, drained):
            await asyncio.sleep(0.5)
            stops[0].set()
            tasks.create_task(sell(new, stops[2]))
            await asyncio.sleep(0.5)
            assert deepest <= 8 + 5 * (type_before == "quorum")
        async with consuming(rabbit_url, new, drained) as second:
            await until_changed(rabbit_url, new)
            stops[1].set()
            tasks.create_task(sell(new, stops[3]))
            await asyncio.sleep(0.5)
            for stop in stops:
                stop.set()
            await asyncio.gather(*gateways)
            async with asyncio.timeout(60):
                while not set(accepted) <= set(drained) or (await second.depth(new.orders)).ready:
                    await asyncio.sleep(0.05)
    assert len(accepted) == len(set(accepted)) > 50
    assert set(accepted) <= set(drained)
    # What the consumers held when they changed is put back and does not count.
    assert deepest <= 12 + 5 + 5 * ("quorum" in (type_before, type_after))


async def test_a_quorum_queue_that_moved_nothing_is_changed_as_well(rabbit_url: str) -> None:
    """As version 0.1.0 declared it: messages that a policy lets expire were lost."""
    new = sale_topology(unique("limit") + ".", 10, "quorum")
    orders, *others = new.queues
    old = replace(new, queues=(replace(orders, spills_to=None, max_length=7), *others))
    drained: list[bytes] = []
    async with opened(rabbit_url, old):
        pass
    async with opened(rabbit_url, new) as gateway:
        taken = await fill(gateway, new)
        assert 7 <= len(taken) <= 8
        async with consuming(rabbit_url, new, drained):
            await until_changed(rabbit_url, new)
        assert drained == taken


async def test_a_queue_that_nobody_drains_takes_orders_again(rabbit_url: str) -> None:
    prefix = unique("limit") + "."
    old, new = sale_topology(prefix, 5, "classic"), sale_topology(prefix, 9, "classic")
    async with opened(rabbit_url, old) as gateway:
        assert len(await fill(gateway, old)) == 5
        with patch("flashsale.broker.rabbitmq.queues.change._LONGEST_SECONDS", 0.3):
            async with opened(rabbit_url, new) as consumer:
                async with consumer.consume(new.orders, 2):
                    async with asyncio.timeout(60):
                        while not await fill(gateway, old):  # two of five are in hand
                            await asyncio.sleep(0.02)
                assert (await consumer.depth(new.orders)).ready >= 5


async def test_a_consumer_that_stops_in_the_middle_leaves_a_queue_that_takes_orders(
    rabbit_url: str,
) -> None:
    prefix = unique("limit") + "."
    old, new = sale_topology(prefix, 5, "classic"), sale_topology(prefix, 9, "classic")
    async with opened(rabbit_url, old) as gateway, opened(rabbit_url, new) as consumer:
        async with consumer.consume(new.orders, 2):
            async with asyncio.timeout(60):
                while await fill(gateway, old, most=1):
                    await asyncio.sleep(0.01)
        assert await fill(gateway, old)


async def test_a_process_starts_though_the_queue_is_deleted_at_that_moment(
    rabbit_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology = sale_topology(f"{unique('t')}.", max_length=3, queue_type="classic")
    bind = DeclaringChannel.bind
    deleted: list[str] = []

    async def delete_once(channel: DeclaringChannel, binding: Binding) -> None:
        if binding.queue == topology.orders and not deleted:
            deleted.append(binding.queue)
            await channel.delete(binding.queue, if_idle=True)
        await bind(channel, binding)

    monkeypatch.setattr(DeclaringChannel, "bind", delete_once)
    async with opened(rabbit_url, topology) as broker:
        assert deleted == [topology.orders]
        assert len(await fill(broker, topology)) == 3


async def test_a_queue_that_differs_in_more_than_limit_and_type_is_a_mismatch(
    rabbit_url: str, topology: Topology
) -> None:
    other = replace(topology, queues=(replace(topology.queues[0], spills_to="elsewhere"),))
    async with opened(rabbit_url, replace(other, bindings=())):
        pass
    with pytest.raises(TopologyMismatch, match="inequivalent arg 'x-dead-letter-routing-key'"):
        async with opened(rabbit_url, topology):
            pass


async def test_a_quorum_queue_does_not_become_a_classic_one(rabbit_url: str) -> None:
    prefix = unique("limit") + "."
    async with opened(rabbit_url, sale_topology(prefix, 10, "quorum")):
        pass
    with pytest.raises(TopologyMismatch, match="current is"):
        async with opened(rabbit_url, sale_topology(prefix, 10, "classic")):
            pass
