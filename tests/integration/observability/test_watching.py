"""What Prometheus sees of a sale: every panel and rule, on the real stack in a spike."""

import asyncio
import http.client
import itertools
import json
import math
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.processes import get
from loadtest.servers import (
    PostgresServer,
    Prometheus,
    RabbitNode,
    ServerNotFound,
    free_port,
    prometheus,
    rabbitmq,
)
from loadtest.servers.rabbitmq import METRICS
from tests.conftest import unique
from tests.processes import process

ROOT = Path(__file__).parents[3]
RULES = ROOT / "prometheus/rules.yml"
# What Grafana puts in for its own variables.
_GRAFANA = {"$__rate_interval": "5s", "$sku": ".*", "$instance": ".*"}


def expressions() -> Iterator[tuple[str, str]]:
    """Every panel's query."""
    for dashboard in sorted((ROOT / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(dashboard.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{dashboard.stem}: {panel['title']}", target["expr"]


@dataclass
class Watched:
    """A sale that runs, and the Prometheus that watches it."""

    server: Prometheus
    metrics_ports: Sequence[int]


@pytest.fixture(scope="module")
def watched(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    try:
        with ExitStack() as stack:
            node = stack.enter_context(rabbitmq(METRICS))
            yield _watched(stack, node, postgres_server, tmp_path_factory.mktemp("watched"))
    except ServerNotFound as error:
        pytest.skip(str(error))


def _watched(stack: ExitStack, node: RabbitNode, database: PostgresServer, folder: Path) -> Watched:
    url = database.create_database(unique("watched"))
    asyncio.run(_a_sale(url))
    port = free_port()
    environment = {
        "FLASHSALE_BROKER_URL": node.url,
        "FLASHSALE_DATABASE_URL": url,
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_GATEWAY_WORKERS": "2",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        # Soon at its limit, also where a request takes long: some are to be refused.
        "FLASHSALE_DRAIN_RATE": "50",
        "FLASHSALE_DRAIN_TARGET_MS": "500",
        "FLASHSALE_QUEUE_MAX_LENGTH": "20",
        # Fewer than it polls, so that some polls are refused.
        "FLASHSALE_CLIENT_READ_RATE": "10",
        "FLASHSALE_CLIENT_READ_BURST": "5",
    }
    ports = {name: free_port() for name in ("consumer", "services", "gateway")}
    for name, metrics_port in ports.items():
        running = stack.enter_context(
            process(
                ["flashsale", name],
                folder / f"{name}.log",
                environment | {"FLASHSALE_METRICS_PORT": str(metrics_port)},
            )
        )
    running.await_url(f"http://127.0.0.1:{port}/readyz")
    jobs = {name: [found] for name, found in ports.items()}
    server = stack.enter_context(prometheus(jobs | {"rabbitmq": [node.metrics_port]}))
    done = threading.Event()
    spike = threading.Thread(target=_spike, args=(port, done))
    spike.start()
    stack.callback(spike.join)
    stack.callback(done.set)
    return Watched(server, list(ports.values()))


async def _a_sale(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", stock=1_000_000))


def _spike(port: int, done: threading.Event) -> None:
    """Order and poll, over the drain's rate, until the tests are done."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Content-Type": "application/json"}
    for number in itertools.count():
        body = json.dumps({"sku": "tv", "customer_id": f"c-{number}"})
        client.request("POST", "/orders", body, headers)
        answer = client.getresponse()
        answer.read()
        if location := answer.getheader("Location"):
            client.request("GET", location)
            client.getresponse().read()
        if done.wait(0.003):
            break
    client.close()


@pytest.mark.parametrize("number", range(3), ids=["consumer", "services", "gateway"])
def test_metrics_are_clean(watched: Watched, number: int) -> None:
    page = get(f"http://127.0.0.1:{watched.metrics_ports[number]}/metrics")
    assert page is not None
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_every_panel_shows_data_of_a_running_sale(
    watched: Watched, title: str, expression: str
) -> None:
    for variable, value in _GRAFANA.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    deadline = time.monotonic() + 30
    while True:
        values = watched.server.query(expression)
        if values and all(math.isfinite(value) for value in values):
            return
        assert time.monotonic() < deadline, (title, expression, values)
        time.sleep(0.1)


def rules() -> Iterator[tuple[str, str]]:
    """Every alert's and recording rule's expression."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


@pytest.mark.parametrize(("name", "expression"), list(rules()))
def test_every_rule_reads_metrics_of_a_running_sale(
    watched: Watched, name: str, expression: str
) -> None:
    """The expression runs, and what it compares has a value: it is not silent for lack of data."""
    watched.server.query(expression)
    for metric in set(re.findall(r"\b(?:flashsale|rabbitmq)_\w+", expression)):
        deadline = time.monotonic() + 30
        while not watched.server.query(f"count({metric})"):
            assert time.monotonic() < deadline, (name, metric)
            time.sleep(0.1)
