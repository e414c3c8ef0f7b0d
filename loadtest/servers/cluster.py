"""A private cluster of RabbitMQ nodes, each with an epmd of its own.

Each node asks its own epmd for the ports of the others, so a proxy can be put between any two.
"""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtest.servers.rabbitmq import RabbitNode
from loadtest.servers.server import server_folder

_NODES = 3


class Member(RabbitNode):
    """A node of a cluster. Its configuration names the first node, which knows the others."""

    def __init__(self, folder: Path, cookie: str, first: RabbitNode | None, settings: str) -> None:
        """Prepare a node that joins `first`; None if this is the first node."""
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
        # Three nodes share few cores: one scheduler each, without busy waiting.
        return super()._environment() | {
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel net_ticktime 8",
        }


class RabbitCluster:
    """A cluster of nodes. Each can be killed, paused and started like any `RabbitNode`."""

    def __init__(self, nodes: list[Member]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        """The addresses of all nodes, separated by commas."""
        return ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        """Start the first node, then all others at the same time."""
        self.nodes[0].start()
        with ThreadPoolExecutor() as threads:
            list(threads.map(Member.start, self.nodes[1:]))

    def leader(self, queue: str, asked: RabbitNode) -> Member:
        """Return the leader of a quorum queue, according to the node `asked`."""
        printed = _queue_property(asked, queue, "element(2, amqqueue:get_pid(Q))")
        return next(node for node in self.nodes if node.name in printed)

    def members(self, queue: str, asked: RabbitNode) -> set[str]:
        """Return the names of the members of a quorum queue, according to the node `asked`."""
        printed = _queue_property(asked, queue, "maps:get(nodes, amqqueue:get_type_state(Q))")
        return {node.name for node in self.nodes if node.name in printed}

    def forget(self, gone: RabbitNode, asked: RabbitNode) -> None:
        """Remove a stopped node from the cluster and its queues for good."""
        asked.control("forget_cluster_node", gone.name)

    def close(self) -> None:
        """Stop all nodes."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(Member.close, self.nodes))


def _queue_property(asked: RabbitNode, queue: str, wanted: str) -> str:
    # `rabbitmqctl list_queues` hangs here: each node would have to reach the command's own node.
    resource = f'rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)'
    return asked.control("eval", f"{{ok, Q}} = rabbit_amqqueue:lookup({resource}), {wanted}.")


def direct_port(_: RabbitNode, asked: RabbitNode) -> int:
    """Return the port of the node `asked` itself, for a connection without a proxy."""
    return asked.port_for_nodes


@contextmanager
def rabbitmq_cluster(
    way: Callable[[RabbitNode, RabbitNode], int] = direct_port, settings: str = ""
) -> Iterator[RabbitCluster]:
    """Run three nodes; `way(a, b)` is the port by which `a` reaches `b`.

    `settings` are additional lines of each node's `rabbitmq.conf`. Raises `ServerNotFound` or
    `ServerDidNotStart`.
    """
    cookie = secrets.token_hex(10).upper()
    with ExitStack() as exits:
        nodes: list[Member] = []
        for _ in range(_NODES):
            folder = exits.enter_context(server_folder("rabbitmq"))
            nodes.append(Member(folder, cookie, nodes[0] if nodes else None, settings))
        cluster = RabbitCluster(nodes)
        exits.callback(cluster.close)
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.introduce(other.name, way(node, other))
        cluster.start()
        yield cluster
