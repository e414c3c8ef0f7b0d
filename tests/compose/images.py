"""The images that docker-compose.yml names, made with no registry.

Ours are built from the Dockerfile. RabbitMQ, PostgreSQL and Prometheus are Debian 13's packages in
the form of the official images. Grafana is left out, as there is no package of it.
"""

import os
from pathlib import Path

from tests.compose.engine import Engine
from tests.image.building import Buildah, buildah
from tests.image.ingredients import CACHE, LOCKS, debian

IMAGE = "flashsale-gateway"
NEW = "flashsale-gateway-new"
BEFORE = "flashsale-gateway-before"
OURS = {IMAGE: (), "flashsale-load": ("--target", "load")}
STAND_INS = {
    "rabbitmq": "rabbitmq:4-management",
    "postgres": "postgres:17",
    "prometheus": "prom/prometheus:v3.5.0",
}
_RECIPES = Path(__file__).parent / "stand_ins"
_SERVERS = [
    *("mmdebstrap", "--quiet", "--mode=root", "--skip=output/dev", "--variant=minbase"),
    "--include=rabbitmq-server,postgresql-17,prometheus,wget",
]


def make_images(engine: Engine, before: Path | None) -> None:
    """Put every image of docker-compose.yml but Grafana's into the engine.

    With a checkout of version 0.1.0, `BEFORE` is its image. Raises `NotAllowedHere`.
    """
    engine("import", debian("servers", *_SERVERS), "flashsale-servers")
    for target, name in STAND_INS.items():
        engine("build", "--quiet", "--target", target, "--tag", name, _RECIPES)
    with buildah() as builder:
        for name, options in OURS.items():
            builder.build(name, *options)
            _take(engine, builder, name)
        engine("tag", IMAGE, NEW)
        if before:
            builder.build(BEFORE, checkout=before, locks=LOCKS[:1])
            _take(engine, builder, BEFORE)


def _take(engine: Engine, builder: Buildah, name: str) -> None:
    archive = CACHE / f"{name}.{os.getpid()}.tar"
    try:
        builder("push", f"localhost/{name}", f"docker-archive:{archive}:{name}:latest")
        engine("load", "--input", archive)
    finally:
        archive.unlink(missing_ok=True)
