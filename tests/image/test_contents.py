"""What is in the built image, and what is not."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.image.building import BASE, Buildah, Image
from tests.image.ingredients import ROOT

VENV = "opt/flashsale"
# What Python's venv puts in by itself.
_OF_VENV = {"pip"}


def test_the_base_has_the_python_that_the_dockerfile_names(image: Image) -> None:
    """Else another Python would be tested than the one that ships."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    [named] = re.findall(r"^ARG BASE=python:(3\.\d+)-slim$", dockerfile, re.M)
    [folder] = image.tree.glob(f"{VENV}/lib/python3.*")
    assert folder.name == f"python{named}"


def test_the_image_adds_its_packages_to_the_base_and_nothing_else(
    image: Image, builder: Buildah, capsys: pytest.CaptureFixture[str]
) -> None:
    """No cache, no pip.conf, no wheel, no source: those are in the stages that are thrown away."""
    base, built = builder.image(BASE).sizes, image.sizes
    added = {path: size for path, size in built.items() if base.get(path) != size}
    assert set(base) <= set(built)
    assert [path for path in added if not f"{path}/".startswith(f"{VENV}/")] == []
    names = {Path(path).name for path in added}
    assert not names & {"pip.conf", ".netrc", ".env", ".git"}
    assert not any(name.endswith(".whl") for name in names)
    with capsys.disabled():
        mb = [round(sum(sizes.values()) / 1e6) for sizes in (added, base)]
        print(f"\nthe image: {mb[0]} MB on a base of {mb[1]} MB")


def test_the_image_runs_the_packages_of_its_lock(image: Image) -> None:
    [packages] = image.tree.glob(f"{VENV}/lib/python3.*/site-packages")
    installed = {
        canonicalize_name(folder.name.removesuffix(".dist-info").rpartition("-")[0])
        for folder in packages.glob("*.dist-info")
    }
    locked = re.findall(r"^(\w[^\\\n]*)", (ROOT / "requirements-image.lock").read_text(), re.M)
    wanted = {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, locked)
        if requirement.marker is None or requirement.marker.evaluate()
    }
    assert installed - _OF_VENV == wanted | {"flashsale-gateway"}


def test_the_image_that_sells_has_no_load_test(image: Image) -> None:
    assert any(path.endswith("/gateway/app.py") for path in image.sizes)
    assert [path for path in image.sizes if "loadtest" in path or "locust" in path] == []


def test_the_image_is_configured_by_its_dockerfile_alone(image: Image) -> None:
    assert image.user == "10001:10001"
    assert image.entrypoint == ["flashsale"]
    names = {variable.partition("=")[0] for variable in image.environment}
    assert names == {
        *("PATH", "PYTHONUNBUFFERED", "FLASHSALE_GATEWAY_HOST", "FLASHSALE_METRICS_HOST")
    }
