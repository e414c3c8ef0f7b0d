"""A private beanstalkd that syncs its log after every order."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder
from loadtest.servers.varnish import listens


class Beanstalkd(Server):
    """A beanstalkd."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port = free_port()
        (folder / "log").mkdir()

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"beanstalk://127.0.0.1:{self._port}"

    def _command(self) -> Sequence[str]:
        return Installation().command(
            *("beanstalkd", "beanstalkd", "-l", "127.0.0.1", "-p", str(self._port)),
            *("-b", str(self._folder / "log"), "-f", "0"),
        )

    def _answers(self) -> bool:
        return listens(self._port)


@contextmanager
def beanstalkd() -> Iterator[Beanstalkd]:
    """Run a beanstalkd. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("beanstalkd") as folder:
        server = Beanstalkd(folder)
        try:
            server.start()
            yield server
        finally:
            server.close()
