"""A private nginx in front of a gateway."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder
from loadtest.servers.varnish import listens

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}
}}
"""


class Nginx(Server):
    """An nginx with a given `http` block, in which LISTEN is the address to listen on."""

    def __init__(self, folder: Path, http: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        http = http.replace("LISTEN", f"127.0.0.1:{self.port}")
        self._configuration = folder / "nginx.conf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder, http=http))

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> Sequence[str]:
        return Installation().command(
            *("nginx", "nginx-light"),
            *("-e", "stderr", "-p", str(self._folder), "-c", str(self._configuration)),
        )

    def _answers(self) -> bool:
        return listens(self.port)


@contextmanager
def nginx(http: str) -> Iterator[Nginx]:
    """Run nginx with this `http` block. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("nginx") as folder:
        folder.chmod(0o755)  # its worker is another user
        server = Nginx(folder, http)
        try:
            server.start()
            yield server
        finally:
            server.close()
