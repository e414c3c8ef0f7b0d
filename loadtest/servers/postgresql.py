"""A private PostgreSQL cluster."""

import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder


class PostgresServer(Server):
    """A PostgreSQL cluster. PostgreSQL refuses to run as root, so root starts it as `nobody`."""

    _stop_signal = signal.SIGINT  # fast shutdown: open sessions are ended

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._installed = Installation.chosen(folder)
        # This user has the same name and id on every machine and in every root.
        self._user = "nobody" if os.geteuid() == 0 else ""
        self._port = free_port()
        self._settings = options
        if self._user:
            shutil.chown(folder, self._user)
        subprocess.run(
            self._installed.command(
                *("initdb", "postgresql"),
                *("--pgdata", str(folder / "data"), "--username", "flashsale"),
                *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
                user=self._user,
            ),
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )

    def url(self, database: str = "flashsale") -> str:
        """Return the address of a database for SQLAlchemy."""
        return f"postgresql+asyncpg://flashsale@127.0.0.1:{self._port}/{database}"

    def dsn(self, database: str = "flashsale") -> str:
        """Return the address of a database for other clients."""
        return f"postgresql://flashsale@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start the cluster."""
        # The file that a killed server leaves would prevent the start.
        with suppress(FileNotFoundError):
            (self._folder / "data" / "postmaster.pid").unlink()
        super().start()

    def create_database(self, name: str) -> str:
        """Create a database; return its address for SQLAlchemy."""
        subprocess.run(
            self._installed.command(
                *("createdb", "postgresql"),
                *("--host", "127.0.0.1", "--port", str(self._port), "--username", "flashsale"),
                name,
            ),
            check=True,
        )
        return self.url(name)

    def run_sql(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        subprocess.run(
            self._installed.command(
                *("psql", "postgresql-client", "--quiet", "--no-psqlrc", "--dbname", database),
                *("--host", "127.0.0.1", "--port", str(self._port), "--username", "flashsale"),
                *("--set", "ON_ERROR_STOP=1", "--command", statement),
            ),
            check=True,
        )

    def close(self) -> None:
        """End the cluster without care for its data, its shared memory taken away."""
        self._end(signal.SIGQUIT)

    def _command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        data = "-D", str(self._folder / "data")
        return self._installed.command("postgres", "postgresql", *data, *options, user=self._user)

    def _answers(self) -> bool:
        # As pg_isready asks, which would be a process each time: a StartupMessage of protocol 3.0.
        # Before it serves, the answer is an ErrorResponse with code 57P03, cannot_connect_now.
        asked = b"user\0flashsale\0database\0postgres\0\0"
        message = struct.pack(">II", 8 + len(asked), 3 << 16) + asked
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port), timeout=2) as client,
        ):
            client.sendall(message)
            answer = client.recv(1024)
            return bool(answer) and b"C57P03" not in answer
        return False


@contextmanager
def postgres(**options: str) -> Iterator[PostgresServer]:
    """Run a PostgreSQL cluster with these options and a database `flashsale`.

    Raises `ServerNotFound` or `ServerDidNotStart`.
    """
    with server_folder("postgres") as folder:
        server = PostgresServer(folder, options)
        try:
            server.start()
            server.create_database("flashsale")
            yield server
        finally:
            server.close()
