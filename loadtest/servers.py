"""Real servers of one's own: a RabbitMQ node and a PostgreSQL cluster for a test or a benchmark.

Each lives in a temporary folder, on free loopback ports, and leaves nothing behind.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

_START_SECONDS = 60
_STOP_SECONDS = 30


class ServerNotFound(Exception):
    """The server is not installed. The message says what to install."""


class ServerDidNotStart(Exception):
    """The server ended, or did not answer in time. The message holds the end of its log."""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """A server process that one may end, freeze and start again on the same data and ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "server.log"
        self._process: psutil.Popen | None = None

    def start(self) -> None:
        """Start, and return once it answers. Raises `ServerDidNotStart`."""
        with self._log.open("ab") as log:
            self._process = psutil.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # a Ctrl-C at the test's terminal is not for the server
                **self._options(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerDidNotStart(self._log.read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in good order."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End it with SIGKILL, its children too."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it (SIGSTOP)."""
        for process in self._family():
            process.suspend()

    def resume(self) -> None:
        """Thaw it."""
        for process in self._family():
            process.resume()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        family = self._family()
        # The server proper may be a child of its start script: all of them are killed at once,
        # but asked in good order only the first one can be.
        for process in family if number == signal.SIGKILL else [self._process]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
        _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)
        self._process.wait()
        self._process = None

    def _family(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [*self._process.children(recursive=True), self._process]
        return [self._process]

    _stop_signal = signal.SIGTERM

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _options(self) -> dict[str, Any]: ...

    @abstractmethod
    def _answers(self) -> bool: ...


class RabbitNode(Server):
    """A RabbitMQ node, with an epmd of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._script = _rabbitmq_script()
        self._name = f"flashsale-{secrets.token_hex(4)}@localhost"
        self._ports = {"node": free_port(), "dist": free_port(), "epmd": free_port()}
        self._epmd: subprocess.Popen[bytes] | None = None
        for part in ("mnesia", "log"):
            (folder / part).mkdir()
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._ports['node']}\n"
            "disk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.relative = 0.6\n"
        )

    @property
    def url(self) -> str:
        """The node's AMQP address."""
        return f"amqp://guest:guest@127.0.0.1:{self._ports['node']}/"

    def start(self) -> None:
        """Start the node, and its epmd the first time."""
        if self._epmd is None:
            # Erlang would start one in the background, and leave it.
            self._epmd = subprocess.Popen(
                [_find("epmd", "erlang-base"), "-port", str(self._ports["epmd"])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment(),
                start_new_session=True,
            )
            _await_port(self._ports["epmd"])
        super().start()

    def control(self, *arguments: str) -> None:
        """Run `rabbitmqctl` on the node."""
        subprocess.run(
            [str(self._script.with_name("rabbitmqctl")), "--node", self._name, *arguments],
            check=True,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """End the node and its epmd."""
        self.stop()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def _command(self) -> Sequence[str]:
        return [str(self._script)]

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
        }

    def _answers(self) -> bool:
        # The greeting of AMQP 0-9-1; the node answers with Connection.Start: type 1, channel 0.
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._ports["node"]), timeout=2) as client,
        ):
            client.sendall(b"AMQP\x00\x00\x09\x01")
            return client.recv(7)[:3] == b"\x01\x00\x00"
        return False


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
                _find("initdb", "postgresql"),
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
                _find("createdb", "postgresql"),
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
        return [_find("postgres", "postgresql"), "-D", str(self._folder / "data"), *options]

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"user": self._user, "group": self._group()}
        return options | ({"extra_groups": []} if self._user else {})

    def _group(self) -> int | None:
        return pwd.getpwnam(self._user).pw_gid if self._user else None

    def _answers(self) -> bool:
        ready = subprocess.run(
            [_find("pg_isready", "postgresql"), "-q", "-h", "127.0.0.1", "-p", str(self._port)],
            check=False,
        )
        return ready.returncode == 0


@contextmanager
def rabbitmq() -> Iterator[RabbitNode]:
    """Run a RabbitMQ node. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with _folder("rabbitmq") as folder:
        node = RabbitNode(folder)
        try:
            node.start()
            yield node
        finally:
            node.close()


@contextmanager
def postgres(**options: str) -> Iterator[PostgresServer]:
    """Run a PostgreSQL cluster with these settings and a database `flashsale`.

    Raises `ServerNotFound` or `ServerDidNotStart`.
    """
    with _folder("postgres") as folder:
        server = PostgresServer(folder, options)
        try:
            server.start()
            server.create_database("flashsale")
            yield server
        finally:
            server.close()


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"flashsale-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find(program: str, package: str) -> str:
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join(
        [os.environ.get("PATH", ""), *map(str, newest), "/usr/sbin", "/usr/local/sbin"]
    )
    found = shutil.which(program, path=path)
    if found is None:
        raise ServerNotFound(f"no {program} here: install {package}")
    return found


def _rabbitmq_script() -> Path:
    # On Debian the one on PATH runs the node by `su`, in a session that outlives its caller.
    for script in (
        Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
        Path(_find("rabbitmq-server", "rabbitmq-server")),
    ):
        if script.exists():
            return script
    raise ServerNotFound("no rabbitmq-server here: install rabbitmq-server")


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    users = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def _await_port(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise ServerDidNotStart(f"nothing listens on port {port}")
