"""The images that docker-compose.yml names, made with no registry.

Ours are built from the Dockerfile. RabbitMQ, PostgreSQL and Prometheus are Debian 13's packages in
the form of the official images. Grafana is left out, as there is no package of it.
"""

import os
import subprocess
from pathlib import Path

from tests.compose.engine import Engine
from tests.image.building import buildah
from tests.image.ingredients import CACHE, NotAllowedHere, digest

OURS = {"flashsale-gateway": (), "flashsale-load": ("--target", "load")}
STAND_INS = {
    "rabbitmq": "rabbitmq:4-management",
    "postgres": "postgres:17",
    "prometheus": "prom/prometheus:v3.5.0",
}
_RECIPES = Path(__file__).parent / "stand_ins"
_SOURCES = [
    *("apt-get", "indextargets", "--format", "deb $(REPO_URI) trixie main"),
    *("Created-By: Packages", "Origin: Debian", "Component: main"),
]
_DEBIAN = [
    *("mmdebstrap", "--quiet", "--mode=root", "--skip=output/dev", "--variant=minbase"),
    *("--include=rabbitmq-server,postgresql-17,prometheus,wget", "trixie"),
]


def make_images(engine: Engine) -> None:
    """Put every image of docker-compose.yml but Grafana's into the engine.

    Raises `NotAllowedHere`.
    """
    engine("import", _servers(), "flashsale-servers")
    for target, name in STAND_INS.items():
        engine("build", "--quiet", "--target", target, "--tag", name, _RECIPES)
    with buildah() as builder:
        for name, options in OURS.items():
            builder.build(name, *options)
            archive = CACHE / f"{name}.{os.getpid()}.tar"
            try:
                builder("push", f"localhost/{name}", f"docker-archive:{archive}:{name}:latest")
                engine("load", "--input", archive)
            finally:
                archive.unlink(missing_ok=True)


def _servers() -> Path:
    """Return a tar file of Debian 13 with the servers. Raises `NotAllowedHere`."""
    printed = subprocess.run(_SOURCES, capture_output=True, text=True, check=True).stdout
    # Those of updates and security fixes have other names for their releases.
    sources = "\n".join(sorted({line for line in printed.splitlines() if "security" not in line}))
    tar = CACHE / f"servers-{digest(sources, *_DEBIAN)}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = tar.with_suffix(f".{os.getpid()}.tar")
        done = subprocess.run(
            [*_DEBIAN, unfinished, "-"],
            input=sources,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            unfinished.unlink(missing_ok=True)
            raise NotAllowedHere(f"mmdebstrap can't make a Debian 13 here: {done.stderr[-300:]}")
        unfinished.rename(tar)
    return tar
