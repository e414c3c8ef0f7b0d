"""The engine of all tests here, and the project of each file, started once."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadtest.servers import free_port
from tests.compose.engine import Engine, engine
from tests.compose.images import make_images
from tests.compose.project import Project
from tests.compose.version_before import checkout_before
from tests.image.ingredients import NotAllowedHere


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A checkout of version 0.1.0, if this clone has it."""
    return checkout_before(tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="session")
def docker(servers: ExitStack, before: Path | None) -> Engine:
    """A Docker daemon with all images; or the reason why there is none."""
    try:
        made = servers.enter_context(engine())
        make_images(made, before)
    except NotAllowedHere as reason:
        pytest.skip(str(reason))
    return made


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """What a shop has in `.env`: free ports."""
    first = free_port()
    return {"GATEWAY_PORT": f"{first}-{first + 9}", "PROMETHEUS_PORT": str(free_port())}


@pytest.fixture(scope="module")
def project(
    docker: Engine, variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The shop, up and healthy."""
    made = Project(docker, tmp_path_factory.mktemp("home"), variables)
    try:
        made.up()
        yield made
    finally:
        made("down", "--volumes", "--timeout", "5")
