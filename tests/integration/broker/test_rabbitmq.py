"""What only a real RabbitMQ can do to us."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from unittest.mock import patch

import pytest

from flashsale.broker import (
    BrokerUnavailable,
    Deliveries,
    Delivery,
    QueueFull,
    QueueType,
    RabbitMQ,
    Topology,
    TopologyMismatch,
    Unroutable,
    open_broker,
    sale_topology,
)
from flashsale.broker.rabbitmq.connection import PikaConnection
from loadtest.servers import RabbitNode, free_port
from tests.conftest import unique


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def until_void(deliveries: Deliveries) -> None:
    """Take what still comes, until nothing can any more."""
    async with asyncio.timeout(60):
        while True:
            try:
                await deliveries.wait()
            except BrokerUnavailable:
                return
            deliveries.take(5)


async def refused(broker: RabbitMQ, topology: Topology) -> None:
    """Publish until the broker stops taking it."""
    async with asyncio.timeout(60):
        while True:
            try:
                await publish(broker, topology)
            except BrokerUnavailable:
                return


async def until_taken(broker: RabbitMQ, topology: Topology) -> None:
    """Publish until the broker takes it again."""
    async with asyncio.timeout(60):
        while True:
            with suppress(QueueFull):
                await publish(broker, topology)
                return


async def publish(broker: RabbitMQ, topology: Topology, body: bytes = b"m") -> None:
    await broker.publish(topology.orders, "order", body, message_id="m")


async def test_an_unreachable_broker_is_one_clear_line() -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    with pytest.raises(BrokerUnavailable, match="refused"):
        async with RabbitMQ(url, sale_topology("", 10, "classic")):
            pass


async def test_a_wrong_password_is_one_clear_line(rabbit_url: str, topology: Topology) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        async with RabbitMQ(rabbit_url.replace("guest:guest", "guest:wrong"), topology):
            pass
    assert "\n" not in str(caught.value)
    assert str(caught.value)


async def test_an_address_where_nobody_listens_is_passed_over(
    rabbit_url: str, topology: Topology
) -> None:
    nowhere = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    for _ in range(6):  # the order is random
        async with RabbitMQ(f"{nowhere},{rabbit_url}", topology) as broker:
            await publish(broker, topology)


async def test_an_address_that_never_answers_is_passed_over(
    rabbit_url: str, topology: Topology
) -> None:
    came = 0

    async def frozen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        with suppress(OSError):
            while await reader.read(100):
                pass
        writer.close()

    async with await asyncio.start_server(frozen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with (
            patch("flashsale.broker.rabbitmq.connection._ADDRESS_SECONDS", 0.3),
            patch("flashsale.broker.rabbitmq.connection.random.sample", lambda found, _: found),
        ):
            async with RabbitMQ(f"amqp://127.0.0.1:{port}/,{rabbit_url}", topology) as broker:
                await publish(broker, topology)
    assert came == 1


async def test_each_address_is_named_without_its_password_when_none_answers() -> None:
    ports = [free_port(), free_port()]
    url = ",".join(f"amqp://guest:hunter2@127.0.0.1:{port}/" for port in ports)
    with pytest.raises(BrokerUnavailable) as caught:
        async with RabbitMQ(url, sale_topology("", 10, "classic")):
            pass
    assert all(f"127.0.0.1:{port}: " in str(caught.value) for port in ports)
    assert str(caught.value).count("refused") == 2
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_connection_goes_to_the_next_address_when_its_node_dies(
    node: RabbitNode, rabbit_url: str, topology: Topology
) -> None:
    with patch("flashsale.broker.rabbitmq.connection.random.sample", lambda found, _: found):
        async with RabbitMQ(f"{node.url},{rabbit_url}", topology) as broker:
            await publish(broker, topology)
            node.kill()
            try:
                await until(lambda: broker.counts.reconnects == 1)
                await publish(broker, topology)
                async with RabbitMQ(rabbit_url, topology) as there:
                    assert (await there.depth(topology.orders)).ready == 1
            finally:
                node.start()


async def test_another_queue_of_that_name_is_a_mismatch_that_names_it(
    rabbit_url: str, topology: Topology
) -> None:
    prefix = topology.orders.removesuffix("sale.orders")
    async with RabbitMQ(rabbit_url, sale_topology(prefix, 10, "quorum")):
        pass
    with pytest.raises(TopologyMismatch, match="inequivalent arg") as caught:
        async with RabbitMQ(rabbit_url, topology):
            pass
    assert topology.orders in str(caught.value)


async def test_declaring_again_changes_nothing(rabbit_url: str, topology: Topology) -> None:
    async with RabbitMQ(rabbit_url, topology) as first:
        await publish(first, topology)
        async with RabbitMQ(rabbit_url, topology) as second:
            assert (await second.depth(topology.orders)).ready == 1


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_each_queue_type_takes_its_arguments(rabbit_url: str, queue_type: str) -> None:
    topology = sale_topology(f"{queue_type}.", 10, queue_type)  # type: ignore[arg-type]
    async with RabbitMQ(rabbit_url, topology, publish_timeout=10) as broker:
        await publish(broker, topology)
        async with broker.consume(topology.orders, prefetch=1) as deliveries:
            await deliveries.wait()
            deliveries.ack_through(deliveries.take(1)[0])


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_a_message_given_back_25_times_is_still_there(
    rabbit_url: str, queue_type: QueueType
) -> None:
    # 4.x drops it from a quorum queue after 20 times, if it is not told otherwise.
    topology = sale_topology(f"{unique(queue_type)}.", 10, queue_type)
    async with RabbitMQ(rabbit_url, topology, publish_timeout=10) as broker:
        await publish(broker, topology, b"1")
        await publish(broker, topology, b"2")
        for time in range(26):
            async with broker.consume(topology.orders, prefetch=2) as deliveries:
                taken: list[Delivery] = []
                async with asyncio.timeout(60):
                    while len(taken) < 2:
                        await deliveries.wait()
                        taken += deliveries.take(2)
                came = [(delivery.body, delivery.redelivered) for delivery in taken]
                assert came == [(b"1", time > 0), (b"2", time > 0)]


async def test_frames_of_many_messages_leave_in_one_write(
    rabbit_url: str, topology: Topology
) -> None:
    async with RabbitMQ(rabbit_url, topology) as broker:
        writes = 0
        write = PikaConnection.flush

        def counted(self: PikaConnection) -> None:
            nonlocal writes
            writes += 1
            write(self)

        with patch.object(PikaConnection, "flush", counted):
            confirms = [
                broker.publish(topology.orders, "order", b"m", message_id=str(n)) for n in range(9)
            ]
            assert writes == 0
            await asyncio.gather(*confirms)
        # One of ours for nine messages; had pika gone past the hook there were none.
        assert writes == 1


async def test_frames_that_pika_writes_itself_go_through_the_hook(
    rabbit_url: str, topology: Topology
) -> None:
    async with RabbitMQ(rabbit_url, topology, publish_timeout=5) as broker:
        await broker.publish(
            topology.orders, "order", b"m" * 10_000, message_id="m", headers={"a": "b"}
        )
        async with broker.consume(topology.orders, prefetch=1) as deliveries:
            await deliveries.wait()
            [delivery] = deliveries.take(1)
            assert len(delivery.body) == 10_000


async def test_messages_of_all_kinds_keep_their_order_and_their_confirms(
    rabbit_url: str, topology: Topology
) -> None:
    async with RabbitMQ(rabbit_url, topology) as broker:
        confirms = []
        for n in range(60):
            body = b"%d " % n + b"m" * (10_000 if n % 7 == 0 else 1)
            headers = {"n": n} if n % 5 == 0 else None
            key = "nowhere" if n % 4 == 0 else "dead"
            confirms.append(
                broker.publish(topology.orders, key, body, message_id=str(n), headers=headers)
            )
            if n % 3 == 0:
                await asyncio.sleep(0)
        answers = await asyncio.gather(*confirms, return_exceptions=True)
        for n, answer in enumerate(answers):
            assert isinstance(answer, Unroutable) if n % 4 == 0 else answer is None
        routed = [n for n in range(60) if n % 4]
        arrived: list[int] = []
        async with broker.consume(topology.dead_orders, prefetch=100) as deliveries:
            while len(arrived) < len(routed):
                await deliveries.wait()
                arrived += [int(d.message_id) for d in deliveries.take(100)]
        assert arrived == routed


async def test_more_than_the_bound_in_flight_is_refused_not_buffered(
    rabbit_url: str, topology: Topology
) -> None:
    async with RabbitMQ(rabbit_url, topology, max_in_flight=3) as broker:
        confirms = [
            broker.publish(topology.orders, "order", b"m", message_id=str(n)) for n in range(3)
        ]
        with pytest.raises(BrokerUnavailable, match="3 messages wait"):
            broker.publish(topology.orders, "order", b"m", message_id="4")
        await asyncio.gather(*confirms)
        await publish(broker, topology)


async def test_a_frozen_broker_is_unknown_at_the_deadline_and_heals(
    node: RabbitNode, topology: Topology
) -> None:
    async with RabbitMQ(node.url, topology, publish_timeout=0.3) as broker:
        node.pause()
        try:
            with pytest.raises(BrokerUnavailable, match="no confirm in time"):
                await publish(broker, topology)
            assert broker.in_flight == 1
        finally:
            node.resume()
        await until(lambda: broker.in_flight == 0)
        await publish(broker, topology)
        assert (await broker.depth(topology.orders)).ready == 2  # the first was taken after all


async def test_a_connection_that_gets_no_confirms_is_given_up_for_another(
    node: RabbitNode, rabbit_url: str, topology: Topology
) -> None:
    with (
        patch("flashsale.broker.rabbitmq.broker._SLOW_BROKER_SECONDS", 0.5),
        patch("flashsale.broker.rabbitmq.connection._ADDRESS_SECONDS", 0.5),
        patch("flashsale.broker.rabbitmq.connection.random.sample", lambda found, _: found),
    ):
        async with RabbitMQ(f"{node.url},{rabbit_url}", topology, publish_timeout=1) as broker:
            node.pause()
            try:
                with pytest.raises(BrokerUnavailable, match="no confirm in time"):
                    await publish(broker, topology)
                # Sooner than by heartbeats, which take twenty seconds.
                await until(lambda: broker.counts.reconnects == 1, seconds=12)
                await publish(broker, topology)
            finally:
                node.resume()


async def test_a_publisher_takes_another_channel_after_refusals(
    rabbit_url: str, topology: Topology
) -> None:
    with patch("flashsale.broker.rabbitmq.broker._RENEWAL_SECONDS", 0.05):
        async with RabbitMQ(rabbit_url, topology) as broker, asyncio.timeout(60):
            used = {broker._publish_channel}
            for _ in range(10):
                await publish(broker, topology)
                used.add(broker._publish_channel)
            assert len(used) == 1
            while len(used) < 5:
                with pytest.raises(QueueFull):
                    await publish(broker, topology)
                used.add(broker._publish_channel)
            assert broker._connection is not None
            pika_connection = broker._connection._pika
            await until(lambda: len(pika_connection._channels) == 1)
            async with broker.consume(topology.orders, prefetch=10) as deliveries:
                await until(lambda: len(deliveries) == 10)
                deliveries.ack_through(deliveries.take(10)[-1])
                await until_taken(broker, topology)
            assert broker.in_flight == 0
            assert broker.counts.reconnects == 0


async def test_a_killed_broker_fails_what_is_in_flight_and_is_found_again(
    node: RabbitNode, topology: Topology
) -> None:
    async with open_broker(node.url, topology, 5) as broker:
        assert isinstance(broker, RabbitMQ)
        for n in range(5):
            await publish(broker, topology, b"%d" % n)
        async with broker.consume(topology.orders, prefetch=2) as deliveries:
            await deliveries.wait()
            unanswered = broker.publish(topology.orders, "order", b"?", message_id="m")
            node.kill()
            with pytest.raises(BrokerUnavailable):
                await unanswered
            await until_void(deliveries)
            assert len(deliveries) == 0
        assert broker.trouble is not None
        with pytest.raises(BrokerUnavailable):
            await publish(broker, topology)
        with pytest.raises(BrokerUnavailable):
            await broker.depth(topology.orders)
        node.start()
        await until(lambda: broker.trouble is None)
        assert broker.counts.reconnects == 1
        await publish(broker, topology, b"5")
        # Whatever was confirmed is there, in order; "?" may be or not.
        async with broker.consume(topology.orders, prefetch=10) as deliveries:
            bodies: list[bytes] = []
            async with asyncio.timeout(60):
                while b"5" not in bodies:
                    await deliveries.wait()
                    bodies += [delivery.body for delivery in deliveries.take(10)]
        assert [body for body in bodies if body != b"?"] == [b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_a_memory_alarm_blocks_at_once_and_lifts(
    node: RabbitNode, topology: Topology
) -> None:
    async with RabbitMQ(node.url, topology, publish_timeout=1) as broker:
        await publish(broker, topology)
        node.control("set_vm_memory_high_watermark", "0.0000001")
        try:
            # RabbitMQ tells a connection that it is blocked when that publishes.
            await refused(broker, topology)
            await until(lambda: broker.trouble is not None)
            assert "blocked" in str(broker.trouble)
        finally:
            node.control("set_vm_memory_high_watermark", "0.6")
        await until(lambda: broker.trouble is None)
        await publish(broker, topology)


async def test_a_queue_deleted_under_the_consumer_ends_it(
    rabbit_url: str, topology: Topology
) -> None:
    async with (
        RabbitMQ(rabbit_url, topology) as broker,
        broker.consume(topology.orders, prefetch=1) as deliveries,
    ):
        assert broker._connection is not None
        channel = await broker._connection.channel()
        channel.queue_delete(topology.orders)
        with pytest.raises(BrokerUnavailable, match="cancelled"):
            await deliveries.wait()


async def test_deliveries_at_hand_when_their_queue_is_deleted_can_still_be_taken(
    rabbit_url: str, topology: Topology
) -> None:
    async with (
        RabbitMQ(rabbit_url, topology) as broker,
        broker.consume(topology.orders, prefetch=5) as deliveries,
    ):
        for number in range(3):
            await broker.publish(topology.orders, "order", b"%d" % number, message_id="")
        await until(lambda: len(deliveries) == 3)
        assert broker._connection is not None
        channel = await broker._connection.channel()
        await broker._connection.call(
            lambda answer: channel.queue_delete(topology.orders, callback=answer)
        )
        for number in range(3):
            await deliveries.wait()
            assert deliveries.take(1)[0].body == b"%d" % number
        with pytest.raises(BrokerUnavailable, match="cancelled"):
            await deliveries.wait()


async def test_deliveries_in_hand_when_a_broker_with_a_full_queue_dies_come_again(
    node: RabbitNode, topology: Topology
) -> None:
    bodies = [b"%d" % number for number in range(14)]
    async with (
        RabbitMQ(node.url, topology) as broker,
        broker.consume(topology.orders, prefetch=4) as deliveries,
    ):
        for body in bodies[:4]:
            await broker.publish(topology.orders, "order", body, message_id="")
        await until(lambda: len(deliveries) == 4)
        for body in bodies[4:]:
            await broker.publish(topology.orders, "order", body, message_id="")
        with pytest.raises(QueueFull):
            await broker.publish(topology.orders, "order", b"one too many", message_id="")
        await asyncio.to_thread(node.kill)
    await asyncio.to_thread(node.start)
    async with (
        RabbitMQ(node.url, topology) as broker,
        broker.consume(topology.orders, prefetch=20) as deliveries,
    ):
        await until(lambda: len(deliveries) == len(bodies))
        taken = deliveries.take(len(bodies))
        assert {delivery.body for delivery in taken} == set(bodies)
        deliveries.ack_through(taken[-1])


async def test_a_depth_that_was_given_up_leaves_no_unhandled_error(
    node: RabbitNode, topology: Topology
) -> None:
    unheard: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    async with RabbitMQ(node.url, topology, publish_timeout=0.3) as broker:
        await broker.depth(topology.orders)
        node.pause()
        try:
            with pytest.raises(BrokerUnavailable, match="no answer in time"):
                await broker.depth(topology.orders)
        finally:
            node.resume()
        await asyncio.to_thread(node.control, "close_all_connections", "maintenance")
        await until(lambda: broker.counts.reconnects == 1)
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []
