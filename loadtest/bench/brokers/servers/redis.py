"""A private Redis that writes an append-only file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection
from typing import Literal

from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder

Fsync = Literal["always", "everysec"]


class RedisServer(Server):
    """A Redis without snapshots."""

    def __init__(self, folder: Path, fsync: Fsync) -> None:
        super().__init__(folder)
        self._port = free_port()
        self._fsync = fsync

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"redis://127.0.0.1:{self._port}"

    def _command(self) -> Sequence[str]:
        return Installation().command(
            *("redis-server", "redis-server"),
            *("--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", self._fsync),
            # A title is written over the environment, by which the watchdog knows the process.
            *("--set-proc-title", "no"),
        )

    def _answers(self) -> bool:
        # While it reads its file, the answer is an error, -LOADING.
        with suppress(OSError), create_connection(("127.0.0.1", self._port), timeout=2) as client:
            client.sendall(b"PING\r\n")
            return client.recv(7) == b"+PONG\r\n"
        return False


@contextmanager
def redis_server(fsync: Fsync) -> Iterator[RedisServer]:
    """Run a Redis. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("redis") as folder:
        server = RedisServer(folder, fsync)
        try:
            server.start()
            yield server
        finally:
            server.close()
