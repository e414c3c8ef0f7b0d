"""A private PostgreSQL cluster."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from loadtest.servers.base import Server, find, folder_of, free_port


class PostgresServer(Server):
    """A PostgreSQL cluster. It refuses to run as root, and then runs as another user."""

    _stop_signal = signal.SIGINT  # fast shutdown: open sessions are ended

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._user = _unprivileged_user()
        self._port = free_port()
        self._settings = options
        if self._user:
            shutil.chown(folder, self._user)
        subprocess.run(
            [
                find("initdb", "postgresql"),
                *("--pgdata", str(folder / "data"), "--username", "flashsale"),
                *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            ],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            user=self._user,
            group=self._group(),
            extra_groups=[] if self._user else None,
        )

    def url(self, database: str = "flashsale") -> str:
        """A database's address for SQLAlchemy."""
        return f"postgresql+asyncpg://flashsale@127.0.0.1:{self._port}/{database}"

    def dsn(self, database: str = "flashsale") -> str:
        """A database's address for other clients."""
        return f"postgresql://flashsale@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start the cluster."""
        # What a killed server leaves would keep the next one from starting.
        with suppress(FileNotFoundError):
            (self._folder / "data" / "postmaster.pid").unlink()
        super().start()

    def create_database(self, name: str) -> str:
        """Create a database; its address."""
        subprocess.run(
            [
                find("createdb", "postgresql"),
                *("--host", "127.0.0.1", "--port", str(self._port), "--username", "flashsale"),
                name,
            ],
            check=True,
        )
        return self.url(name)

    def close(self) -> None:
        """End the cluster."""
        self.stop()

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
        return [find("postgres", "postgresql"), "-D", str(self._folder / "data"), *options]

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"user": self._user, "group": self._group()}
        return options | ({"extra_groups": []} if self._user else {})

    def _group(self) -> int | None:
        return pwd.getpwnam(self._user).pw_gid if self._user else None

    def _answers(self) -> bool:
        ready = subprocess.run(
            [find("pg_isready", "postgresql"), "-q", "-h", "127.0.0.1", "-p", str(self._port)],
            check=False,
        )
        return ready.returncode == 0


@contextmanager
def postgres(**options: str) -> Iterator[PostgresServer]:
    """Run a PostgreSQL cluster with these settings and a database `flashsale`.

    Raises `ServerNotFound` or `ServerDidNotStart`.
    """
    with folder_of("postgres") as folder:
        server = PostgresServer(folder, options)
        try:
            server.start()
            server.create_database("flashsale")
            yield server
        finally:
            server.close()


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    users = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"
