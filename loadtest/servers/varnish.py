"""A private Varnish cache in front of one port, with the rules that it has by default."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder


class Varnish(Server):
    """A Varnish cache."""

    def __init__(self, folder: Path, backend_port: int) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._backend_port = backend_port

    @property
    def url(self) -> str:
        """The address of the cache."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> Sequence[str]:
        return Installation().command(
            *("varnishd", "varnish"),
            *("-F", "-j", "none", "-n", str(self._folder / "work"), "-s", "malloc,16m"),
            *("-a", f"127.0.0.1:{self.port}", "-b", f"127.0.0.1:{self._backend_port}"),
        )

    def _answers(self) -> bool:
        return listens(self.port)


def listens(port: int) -> bool:
    """Return whether something listens on a loopback port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def varnish(backend_port: int) -> Iterator[Varnish]:
    """Run a Varnish cache. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("varnish") as folder:
        server = Varnish(folder, backend_port)
        try:
            server.start()
            yield server
        finally:
            server.close()
