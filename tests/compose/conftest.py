"""The project of all tests here, started once."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadtest.servers import free_port
from tests.compose.engine import engine
from tests.compose.images import make_images
from tests.compose.project import Project
from tests.image.ingredients import NotAllowedHere


@pytest.fixture(scope="session")
def project(servers: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The shop, up and healthy; or the reason why it can't be."""
    folder: Path = tmp_path_factory.mktemp("home")
    try:
        docker = servers.enter_context(engine())
        make_images(docker)
    except NotAllowedHere as reason:
        pytest.skip(str(reason))
    first = free_port()
    ports = {"GATEWAY_PORT": f"{first}-{first + 9}", "PROMETHEUS_PORT": str(free_port())}
    made = Project(docker, folder, ports)
    try:
        made.up()
        yield made
    finally:
        made("down", "--volumes", "--timeout", "5")
