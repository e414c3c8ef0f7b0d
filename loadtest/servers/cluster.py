"""A private cluster of RabbitMQ nodes, each with an epmd of its own.

As each node asks its own epmd where the others are, each can be sent to them by way of a proxy.
"""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtest.servers.base import folder_of
from loadtest.servers.rabbit import RabbitNode

_NODES = 3


class Member(RabbitNode):
    """A node of a cluster. It finds the first one by itself, and the others by that one."""

    def __init__(self, folder: Path, cookie: str, first: RabbitNode | None, settings: str) -> None:
        """Prepare a node that joins `first`, unless it is that one itself."""
        super().__init__(folder)
        secret = folder / ".erlang.cookie"
        secret.write_text(cookie)
        secret.chmod(0o400)
        with (folder / "rabbitmq.conf").open("a") as conf:
            conf.write(settings)
            if first is not None:
                conf.write("cluster_formation.peer_discovery_backend = classic_config\n")
                conf.write(f"cluster_formation.classic_config.nodes.1 = {first.name}\n")

    def _environment(self) -> dict[str, str]:
        # Three nodes on few cores: one scheduler each, which sleeps when it has nothing to do.
        return super()._environment() | {
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel net_ticktime 8",
        }


class RabbitCluster:
    """Nodes that are joined. Each can be killed, paused and started as a `RabbitNode`."""

    def __init__(self, nodes: list[Member]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        """The addresses of all nodes, with commas between."""
        return ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        """Start the first node, and then the others at once."""
        self.nodes[0].start()
        with ThreadPoolExecutor() as threads:
            list(threads.map(Member.start, self.nodes[1:]))

    def leader(self, queue: str, asked: RabbitNode) -> Member:
        """The node that leads a quorum queue, as the node that is `asked` sees it."""
        printed = _of_queue(asked, queue, "element(2, amqqueue:get_pid(Q))")
        return next(node for node in self.nodes if node.name in printed)

    def members(self, queue: str, asked: RabbitNode) -> set[str]:
        """The names of the nodes that have a quorum queue, as the node that is `asked` sees it."""
        printed = _of_queue(asked, queue, "maps:get(nodes, amqqueue:get_type_state(Q))")
        return {node.name for node in self.nodes if node.name in printed}

    def forget(self, gone: RabbitNode, asked: RabbitNode) -> None:
        """Take a node that is stopped out of the cluster, and out of its queues, for good."""
        asked.control("forget_cluster_node", gone.name)

    def close(self) -> None:
        """End all nodes."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(Member.close, self.nodes))


def _of_queue(asked: RabbitNode, queue: str, wanted: str) -> str:
    # `rabbitmqctl list_queues` never ends here: every node would have to find the command itself.
    resource = f'rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)'
    return asked.control("eval", f"{{ok, Q}} = rabbit_amqqueue:lookup({resource}), {wanted}.")


def directly(_: RabbitNode, asked: RabbitNode) -> int:
    """The way from one node to another without anything between."""
    return asked.port_for_nodes


@contextmanager
def rabbitmq_cluster(
    way: Callable[[RabbitNode, RabbitNode], int] = directly, settings: str = ""
) -> Iterator[RabbitCluster]:
    """Run three nodes; `way(a, b)` is the port by which `a` is to reach `b`.

    `settings` are further lines of each node's `rabbitmq.conf`. Raises `ServerNotFound` or
    `ServerDidNotStart`.
    """
    cookie = secrets.token_hex(10).upper()
    with ExitStack() as exits:
        nodes: list[Member] = []
        for _ in range(_NODES):
            folder = exits.enter_context(folder_of("rabbitmq"))
            nodes.append(Member(folder, cookie, nodes[0] if nodes else None, settings))
        cluster = RabbitCluster(nodes)
        exits.callback(cluster.close)
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.introduce(other.name, way(node, other))
        cluster.start()
        yield cluster
