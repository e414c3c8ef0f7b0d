"""What the Dockerfile builds, started: a sale in it, and the shoppers that Compose sends."""

import json
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flashsale import __version__
from flashsale.runtime.settings_table import settings_table
from loadtest.processes import Process
from loadtest.servers import free_port
from tests.image.building import Image
from tests.image.confined import confined, started
from tests.image.ingredients import ROOT

IN_TMP = {"database_url": "sqlite+aiosqlite:////tmp/sale.db", "mail_folder": "/tmp/mail"}


@dataclass
class Shop:
    """`flashsale run` in the image, with all that it writes in /tmp."""

    url: str
    process: Process

    def ask(self, path: str, order: dict[str, str] | None = None) -> dict[str, Any]:
        """What it answers, to an order or after a wait of some seconds."""
        body = json.dumps(order).encode() if order else None
        headers = {"Content-Type": "application/json", "Prefer": "wait=20"}
        request = urllib.request.Request(f"{self.url}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def shop(image: Image, tmp: Path, stock: int) -> Iterator[Shop]:
    """A shop that sells tv-55."""
    started(image, tmp, "migrate", **IN_TMP)
    started(image, tmp, "sale", "create", "tv-55", "--stock", str(stock), **IN_TMP)
    port = free_port()
    ports = {"gateway_port": str(port), "metrics_port": str(free_port())}
    log = tmp / "run.log"
    with log.open("wb") as file:
        command = confined(image, tmp, "run", **IN_TMP, **ports)
        process = Process(subprocess.Popen(command, stdout=file, stderr=file), log)
    opened = Shop(f"http://127.0.0.1:{port}", process)
    try:
        process.await_url(f"{opened.url}/readyz")
        yield opened
    finally:
        process.stop()


def test_the_image_tells_its_version_and_settings(image: Image, tmp: Path) -> None:
    assert started(image, tmp, "--version") == f"flashsale {__version__}\n"
    assert started(image, tmp, "settings") == settings_table()


def test_a_sale_runs_in_the_image_and_ends_in_good_order(image: Image, tmp: Path) -> None:
    with shop(image, tmp, stock=1) as opened:
        order = opened.ask("/orders", {"sku": "tv-55", "customer_id": "c-1"})
        assert opened.ask(f"/orders/{order['order_id']}")["status"] == "confirmed"
        assert opened.process.stop() == 0, opened.process.output
    assert "1 items sold, 0 oversold" in started(image, tmp, "check", **IN_TMP)


def test_a_process_of_the_image_has_no_power_and_no_place_to_write(image: Image, tmp: Path) -> None:
    """Else the other tests would not show that it needs none."""
    with shop(image, tmp, stock=1) as opened:
        proc = Path(f"/proc/{opened.process.pid}")
        lines = (proc / "status").read_text().splitlines()
        mounts = [line.split() for line in (proc / "mounts").read_text().splitlines()]
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd")} == {0}
    assert status["NoNewPrivs"] == "1"
    options = {where: how.split(",") for _, where, _, how, *_ in mounts}
    assert "ro" in options["/"]
    assert "rw" in options["/tmp"]


def test_the_shoppers_of_compose_buy_all(image: Image, load_image: Image, tmp: Path) -> None:
    assert started(load_image, tmp, "--version").startswith("locust ")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    command: str = compose["services"]["locust"]["command"]
    spike = {"load_spike": "500", "load_seconds": "2", "load_before": "1", "load_after": "1"}
    with shop(image, tmp, stock=300) as opened:
        command = command.replace("http://gateway:8080", opened.url)
        started(load_image, tmp, *shlex.split(command), **spike)
        assert opened.ask("/sales/tv-55")["sold"] == 300
    assert "300 items sold, 0 oversold" in started(image, tmp, "check", **IN_TMP)
