"""A private RabbitMQ node."""

import os
import secrets
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from loadtest import watchdog
from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, ServerDidNotStart, await_port, server_folder

METRICS = "rabbitmq_prometheus"
MANAGEMENT = "rabbitmq_management"

_PORTS = ("node", "dist", "epmd", "metrics", "management")


class RabbitNode(Server):
    """A RabbitMQ node, with an epmd of its own."""

    def __init__(self, folder: Path, *plugins: str) -> None:
        """Prepare a node with these RabbitMQ plugins."""
        super().__init__(folder)
        self._installed = Installation.chosen(folder)
        self._name = f"flashsale-{secrets.token_hex(4)}@localhost"
        self._ports = {part: free_port() for part in _PORTS}
        self._epmd: subprocess.Popen[bytes] | None = None
        self._introductions: list[socket.socket] = []
        for part in ("mnesia", "log"):
            (folder / part).mkdir()
        (folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._ports['node']}\n"
            "disk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.relative = 0.6\n"
        )
        if MANAGEMENT in plugins:
            with (folder / "rabbitmq.conf").open("a") as conf:
                conf.write("management.tcp.ip = 127.0.0.1\n")
                conf.write(f"management.tcp.port = {self._ports['management']}\n")
        if METRICS in plugins:
            with (folder / "rabbitmq.conf").open("a") as conf:
                conf.write("prometheus.tcp.ip = 127.0.0.1\n")
                conf.write(f"prometheus.tcp.port = {self.metrics_port}\n")

    @property
    def url(self) -> str:
        """The node's AMQP address."""
        return f"amqp://guest:guest@127.0.0.1:{self._ports['node']}/"

    @property
    def name(self) -> str:
        """The name of the node in its cluster."""
        return self._name

    @property
    def port_for_nodes(self) -> int:
        """The port for the other nodes of the cluster."""
        return self._ports["dist"]

    @property
    def metrics_port(self) -> int:
        """The port of `/metrics`, if the plugin is enabled."""
        return self._ports["metrics"]

    @property
    def management_url(self) -> str:
        """The address of the management API, if the plugin is enabled."""
        return f"http://127.0.0.1:{self._ports['management']}"

    def start(self) -> None:
        """Start the node, and the first time also its epmd."""
        self._start_epmd()
        super().start()

    def introduce(self, name: str, port: int) -> None:
        """Register another node with this node's epmd, at this port and until `close`."""
        self._start_epmd()
        alive = name.partition("@")[0].encode()
        # ALIVE2_REQ of a normal node with versions 5 and 6 over TCP. The registration ends with
        # the connection (https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html).
        request = struct.pack(">BHBBHHH", 120, port, 77, 0, 6, 5, len(alive)) + alive + b"\0\0"
        asking = socket.create_connection(("127.0.0.1", self._ports["epmd"]), timeout=10)
        self._introductions.append(asking)
        asking.sendall(struct.pack(">H", len(request)) + request)
        if asking.recv(16)[1:2] != b"\0":
            raise ServerDidNotStart(f"epmd refuses the name {name}")

    def _start_epmd(self) -> None:
        if self._epmd is not None:
            return
        watchdog.start()
        # Otherwise Erlang starts one in the background and leaves it running.
        self._epmd = subprocess.Popen(
            self._installed.command("epmd", "erlang-base", "-port", str(self._ports["epmd"])),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment(),
            start_new_session=True,
        )
        await_port(self._ports["epmd"])

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on the node; return its output."""
        ran = subprocess.run(
            self._installed.command(
                "rabbitmqctl", "rabbitmq-server", "--node", self._name, *arguments
            ),
            check=True,
            env=self._environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        return ran.stdout

    def close(self) -> None:
        """End the node and its epmd, without care for their data."""
        super().close()
        for asking in self._introductions:
            asking.close()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def _command(self) -> Sequence[str]:
        return self._installed.command("rabbitmq-server", "rabbitmq-server")

    def _options(self) -> dict[str, Any]:
        return {"env": self._environment()}

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": folder,
            "ERL_EPMD_PORT": str(self._ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_PORT": str(self._ports["node"]),
            "RABBITMQ_DIST_PORT": str(self._ports["dist"]),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            # The start script becomes the node, and a SIGTERM is for the node itself. Else the
            # script waits beside it, and stops it by `rabbitmqctl`, a second Erlang VM.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Erlang binds its schedulers to cores, and load generator and gateway may be busy on
            # the core of the scheduler that has something to do.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            watchdog.MARKS: os.environ.get(watchdog.MARKS, ""),
        }

    def _answers(self) -> bool:
        # The protocol header of AMQP 0-9-1. The answer is Connection.Start: type 1, channel 0.
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._ports["node"]), timeout=2) as client,
        ):
            client.sendall(b"AMQP\x00\x00\x09\x01")
            return client.recv(7)[:3] == b"\x01\x00\x00"
        return False


@contextmanager
def rabbitmq(*plugins: str) -> Iterator[RabbitNode]:
    """Run a RabbitMQ node. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("rabbitmq") as folder:
        node = RabbitNode(folder, *plugins)
        try:
            node.start()
            yield node
        finally:
            node.close()
