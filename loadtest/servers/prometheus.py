"""A private Prometheus server that scrapes given ports each second."""

import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.processes import get
from loadtest.servers.installed import Installation
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder


class Prometheus(Server):
    """A Prometheus server."""

    def __init__(self, folder: Path, jobs: Mapping[str, Sequence[int]]) -> None:
        """Scrape the loopback ports of each job."""
        super().__init__(folder)
        self.port = free_port()
        # A scrape may take as long as the interval, which a busy machine needs. JSON is YAML.
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
                }
                for job, ports in jobs.items()
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))

    def query(self, expression: str) -> list[float]:
        """Return the values of an instant query. Raises `ValueError` if the query is invalid."""
        asked = urllib.parse.urlencode({"query": expression, "time": time.time()})
        answer = get(f"http://127.0.0.1:{self.port}/api/v1/query?{asked}")
        if answer is None:
            raise ValueError(f"no answer to the query: {expression}")
        return [float(row["value"][1]) for row in json.loads(answer)["data"]["result"]]

    def _command(self) -> Sequence[str]:
        return Installation().command(
            *("prometheus", "prometheus"),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )

    def _answers(self) -> bool:
        return get(f"http://127.0.0.1:{self.port}/-/ready") is not None


@contextmanager
def prometheus(jobs: Mapping[str, Sequence[int]]) -> Iterator[Prometheus]:
    """Run a Prometheus server. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("prometheus") as folder:
        server = Prometheus(folder, jobs)
        try:
            server.start()
            yield server
        finally:
            server.close()
