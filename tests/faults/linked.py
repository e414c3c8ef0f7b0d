"""A cluster whose nodes reach each other by proxies, so that it can be parted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

from loadtest.servers import RabbitCluster, RabbitNode, rabbitmq_cluster
from loadtest.servers.cluster import Member
from tests.faults.proxy import Proxy, proxy

_WAYS = 6
_SETTINGS = "cluster_partition_handling = pause_minority\n"


class LinkedCluster:
    """Three nodes and the links between them."""

    def __init__(self, cluster: RabbitCluster, ways: dict[tuple[str, str], Proxy]) -> None:
        """Each way is a proxy by the names of the two nodes, the one that connects first."""
        self._cluster = cluster
        self._ways = ways
        self.nodes: list[RabbitNode] = list(cluster.nodes)
        self.url = cluster.url

    async def leader(self, queue: str) -> Member:
        """The node that leads that queue."""
        return await asyncio.to_thread(self._cluster.leader, queue, self.nodes[0])

    def others(self, than: RabbitNode) -> list[RabbitNode]:
        """The other nodes."""
        return [node for node in self.nodes if node is not than]

    async def members(self, queue: str, asked: RabbitNode) -> set[str]:
        """The names of the nodes that have that queue, as the one that is asked says."""
        return await asyncio.to_thread(self._cluster.members, queue, asked)

    async def forget(self, gone: RabbitNode, asked: RabbitNode) -> None:
        """Take a node that is stopped out of the cluster for good."""
        await asyncio.to_thread(self._cluster.forget, gone, asked)

    def cut_off(self, node: RabbitNode) -> None:
        """Have nothing arrive any more between that node and the others, as if by a dead switch."""
        for pair, way in self._ways.items():
            if node.name in pair:
                way.silence()

    def heal(self) -> None:
        """Have everything arrive again."""
        for way in self._ways.values():
            way.heal()


@asynccontextmanager
async def linked_cluster() -> AsyncIterator[LinkedCluster]:
    """Run a cluster. Raises `ServerNotFound` or `ServerDidNotStart`."""
    async with AsyncExitStack() as exits:
        targets: list[int] = []
        proxies = [
            await exits.enter_async_context(proxy(lambda n=n: targets[n]))  # type: ignore[misc]
            for n in range(_WAYS)
        ]
        ways: dict[tuple[str, str], Proxy] = {}

        def by_proxy(asking: RabbitNode, asked: RabbitNode) -> int:
            way = ways[asking.name, asked.name] = proxies[len(targets)]
            targets.append(asked.port_for_nodes)
            return way.port

        running = ExitStack()
        # Elsewhere than in the loop, which has to pass on what the nodes say to each other.
        exits.push_async_callback(asyncio.to_thread, running.close)
        cluster = await asyncio.to_thread(
            running.enter_context, rabbitmq_cluster(by_proxy, _SETTINGS)
        )
        yield LinkedCluster(cluster, ways)
