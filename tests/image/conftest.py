"""The images under test, each built once."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.image.building import Buildah, Image, buildah
from tests.image.ingredients import NotAllowedHere


@pytest.fixture(scope="session")
def builder(servers: ExitStack) -> Buildah:
    """A buildah with a base, or the reason why there is none."""
    try:
        return servers.enter_context(buildah())
    except NotAllowedHere as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def image(builder: Buildah) -> Image:
    """What ships."""
    return builder.build("flashsale-gateway")


@pytest.fixture(scope="session")
def load_image(builder: Buildah) -> Image:
    """Its shoppers."""
    return builder.build("flashsale-load", "--target", "load")


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    """A /tmp that anybody may write to."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder
