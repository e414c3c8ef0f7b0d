"""A private PgBouncer in front of a PostgreSQL cluster."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url

from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder

PoolMode = Literal["session", "transaction", "statement"]


class PgBouncer(Server):
    """A PgBouncer for all databases of a server. It refuses to run as root, as PostgreSQL does."""

    _stop_signal = signal.SIGINT

    def __init__(self, folder: Path, database_url: str, mode: PoolMode, **options: str) -> None:
        """Pool connections to the server of that SQLAlchemy address."""
        super().__init__(folder)
        self._installed = Installation.chosen(folder)
        self._user = "nobody" if os.geteuid() == 0 else ""
        self._port = free_port()
        server = make_url(database_url)
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self._port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "max_client_conn": "200",
            # In session mode each connection of a process has a session, as long as it is open.
            "default_pool_size": "50" if mode == "session" else "10",
            **options,
        }
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={server.host} port={server.port} user={server.username}\n"
            "[pgbouncer]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        if self._user:
            shutil.chown(folder, self._user)

    def url(self, database_url: str) -> str:
        """Return the address through the pooler of a database of the server."""
        through = make_url(database_url).set(host="127.0.0.1", port=self._port)
        return through.render_as_string(hide_password=False)

    def _command(self) -> Sequence[str]:
        return self._installed.command(
            *("pgbouncer", "pgbouncer", "-q", str(self._folder / "pgbouncer.ini")), user=self._user
        )

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=2):
            return True
        return False


@contextmanager
def pgbouncer(database_url: str, mode: PoolMode, **options: str) -> Iterator[PgBouncer]:
    """Run a PgBouncer. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("pgbouncer") as folder:
        server = PgBouncer(folder, database_url, mode, **options)
        try:
            server.start()
            yield server
        finally:
            server.close()
