"""A node of a cluster dies, is cut off, or is forgotten; the sale goes on with the other two."""

import asyncio
from contextlib import AsyncExitStack

from flashsale.broker import BrokerError, RabbitMQ, Topology
from loadtest.servers.cluster import Member
from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_RATE = 40.0
_NEWCOMERS = 60
_GOES_ON = 80
"""Orders decided, beside those that waited when it happened, by which a sale is seen to go on."""

LAYOUT = Layout(gateways=2, services=1, settings={"queue_type": "quorum"})


async def _goes_on(stand: Stand) -> None:
    so_far = await stand.decided()

    async def further() -> bool:
        return await stand.decided() >= so_far + _GOES_ON

    await stand.until(further, "the sale to go on with two nodes")


async def _connect_to(stand: Stand, name: str, node: Member) -> None:
    """Have that process be a client of that node, and free to go elsewhere later."""
    at = stand.cluster.nodes.index(node)
    *links, _ = (link for (of, to), link in stand.links.items() if of == name)
    elsewhere = [link for n, link in enumerate(links) if n != at]
    for link in elsewhere:
        link.cut()
    await stand.until(lambda: len(links[at].connections) >= 2, f"{name} at its node", seconds=30)
    for link in elsewhere:
        link.heal()


@scenario("kill -9 of the node that leads the queue", rate=_RATE, layout=LAYOUT, cluster=True)
async def leader_killed(stand: Stand) -> None:
    leader = await stand.cluster.leader(stand.topology.orders)
    await asyncio.to_thread(leader.kill)
    await _goes_on(stand)
    await asyncio.to_thread(leader.start)


@scenario(
    "kill -9 of the node that leads, met by sixty new publishers",
    rate=_RATE,
    layout=LAYOUT,
    cluster=True,
)
async def met_between_leaders(stand: Stand) -> None:
    # RabbitMQ 3.10 answers some of them with refusals for ever.
    topology = stand.topology
    leader = await stand.cluster.leader(topology.dead_orders)
    others = stand.cluster.others(leader)
    async with AsyncExitStack() as exits:
        publishers: list[RabbitMQ] = []
        killed = asyncio.create_task(asyncio.to_thread(leader.kill))
        while len(publishers) < _NEWCOMERS:
            node = others[len(publishers) % len(others)]
            publisher = RabbitMQ(node.url, topology)
            await exits.enter_async_context(publisher)
            await _heard(publisher, topology)
            publishers.append(publisher)
        await killed

        async def all_are_heard() -> bool:
            return all([await _heard(publisher, topology) for publisher in publishers])

        await stand.until(all_are_heard, "everybody to be heard", seconds=20)
    await _goes_on(stand)
    await asyncio.to_thread(leader.start)


async def _heard(publisher: RabbitMQ, topology: Topology) -> bool:
    try:
        await publisher.publish(topology.orders, "dead", b"hello", message_id="")
    except BrokerError:
        return False
    return True


@scenario("a node cut off from the others", rate=_RATE, layout=LAYOUT, cluster=True)
async def minority_partitioned(stand: Stand) -> None:
    leader = await stand.cluster.leader(stand.topology.orders)
    await _connect_to(stand, "gateway-1", leader)
    await _connect_to(stand, "consumer-1", leader)
    stand.cluster.cut_off(leader)
    await _goes_on(stand)
    stand.cluster.heal()
    await stand.until(lambda: stand.ready("gateway-1"), "the gateway that was cut off, too")


@scenario("a node is forgotten", rate=_RATE, layout=LAYOUT, cluster=True)
async def node_forgotten(stand: Stand) -> None:
    cluster, orders = stand.cluster, stand.topology.orders
    gone = await cluster.leader(orders)
    left, _ = cluster.others(gone)
    await _connect_to(stand, "gateway-1", gone)
    await asyncio.to_thread(gone.stop)
    await cluster.forget(gone, left)
    assert gone.name not in await cluster.members(orders, left)
    await _goes_on(stand)
