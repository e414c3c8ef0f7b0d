"""The broker dies, freezes, forgets, or is short of something."""

import asyncio
from contextlib import suppress

from flashsale.broker import QueueFull, RabbitMQ
from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_TIMEOUTS = (
    "application:set_env(rabbit, consumer_timeout, {}),"
    " application:set_env(rabbit, channel_tick_interval, {})."
)


@scenario("kill -9 of the broker, with publishes unconfirmed", short=True)
async def killed(stand: Stand) -> None:
    await asyncio.to_thread(stand.node.kill)
    await stand.wait(0.0, 1.0)
    await asyncio.to_thread(stand.node.start)


@scenario(
    "restart of the broker with a full queue",
    layout=Layout(settings={"queue_max_length": "100", "drain_rate": "60"}),
    rate=150.0,
    short=True,
)
async def restarted_full(stand: Stand) -> None:
    async def full() -> bool:
        return await stand.waiting() >= 95

    await stand.until(full, "a full queue")
    await asyncio.to_thread(stand.node.stop)
    await asyncio.to_thread(stand.node.start)


@scenario("memory alarm for 4 s")
async def memory_alarm(stand: Stand) -> None:
    await stand.control("set_vm_memory_high_watermark", "0.000001")
    await stand.wait(4.0)
    await stand.control("set_vm_memory_high_watermark", "0.6")


@scenario("broker frozen for 5 s")
async def frozen_briefly(stand: Stand) -> None:
    stand.node.pause()
    await stand.wait(5.0)
    stand.node.resume()


@scenario("broker frozen for 90 s", rate=40.0)
async def frozen_long(stand: Stand) -> None:
    stand.node.pause()
    await stand.wait(90.0)
    stand.node.resume()


@scenario("all connections closed every 5 s")
async def closed(stand: Stand) -> None:
    for _ in range(3):
        await stand.control("close_all_connections", "maintenance")
        await stand.wait(5.0)


@scenario("the queue of orders deleted under load", short=True)
async def deleted(stand: Stand) -> None:
    # What waits in it, or is on its way there, is gone with it by order of who deleted it: RabbitMQ
    # confirms even what it has not put there yet. What the drain has in hand is not.
    await stand.delete(stand.topology.orders)


@scenario("queue full for 30 s", layout=Layout(settings={"queue_max_length": "300"}), rate=60.0)
async def full(stand: Stand) -> None:
    await stand.stop("consumer-1")
    await stand.wait(30.0)
    await stand.start("consumer-1")


@scenario("the limit of the queue is changed in a spike", rate=120.0)
async def limit_changed(stand: Stand) -> None:
    for limit in ("200", "2000"):
        names = ["consumer-1", "gateway-1"]
        stand.dice.shuffle(names)
        for name in names:
            await stand.again(name, queue_max_length=limit)
            await stand.wait(0.5, 1.5)


@scenario("a policy of the broker expires orders after half a second", rate=60.0)
async def expired(stand: Stand) -> None:
    # The queue moves what it would drop to another one, which the drain empties, too.
    orders = stand.topology.orders
    async with stand.policy(orders, {"message-ttl": 500}):
        await stand.stop("consumer-1")
        await stand.wait(4.0)
        await stand.start("consumer-1")
        await stand.wait(1.0)


@scenario("the dead queue is full when poison comes")
async def dead_queue_full(stand: Stand) -> None:
    dead = stand.topology.dead_orders
    async with RabbitMQ(stand.node.url, stand.topology) as broker:
        full = 0
        async with stand.limited(dead, 1):
            with suppress(QueueFull):  # a quorum queue takes one more than its limit
                while full < 10:
                    await broker.publish(stand.topology.orders, "dead", b"old", message_id="")
                    full += 1
            assert 1 <= full <= 2
            await broker.publish(stand.topology.orders, "order", b"no order", message_id="")
            await stand.wait(3.0)
            assert (await broker.depth(dead)).ready == full

        async def buried() -> bool:
            return (await broker.depth(dead)).ready == full + 1

        await stand.until(buried, "the dead letter")


@scenario("the broker takes back what is unacknowledged for too long (consumer_timeout)")
async def consumer_timeout(stand: Stand) -> None:
    try:
        await stand.control("eval", _TIMEOUTS.format(2000, 500))
        await stand.again("consumer-1")
        await stand.wait(1.5)
        async with stand.locked("radio"):
            await stand.wait(8.0)
    finally:
        await stand.control("eval", _TIMEOUTS.format(1_800_000, 60_000))
