"""A server that was closed leaves nothing running."""

import psutil
import pytest

from loadtest.servers import ServerNotFound, nginx

_HTTP = "server { listen LISTEN; return 204; }"


def test_a_master_that_replaces_its_workers_leaves_none_behind() -> None:
    try:
        with nginx(_HTTP) as server:
            running = server.processes()
            assert len(running) > 1, "nginx has a master and a worker"
            folder = server.folder
    except ServerNotFound as error:
        pytest.skip(str(error))
    _, left = psutil.wait_procs(running, timeout=20)
    assert left == []
    # A replacement of the killed worker has another id.
    workers = [p for p in psutil.process_iter(["name", "cwd"]) if p.info["name"] == "nginx"]
    assert [p for p in workers if p.info["cwd"] == str(folder)] == []
