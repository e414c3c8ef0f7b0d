"""What Prometheus sees of a sale: every panel and rule, on the real stack in a spike."""

import asyncio
import http.client
import http.server
import itertools
import json
import math
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.messages.standard_webhooks import parse_secret, signed_headers
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
from tests.processes import process, run

PAYMENT_SECRET = "whsec_" + "c2VjcmV0" * 5
ROOT = Path(__file__).parents[3]
RULES = ROOT / "prometheus/rules.yml"
# What Grafana puts in for its own variables.
_GRAFANA = {"$__rate_interval": "30s", "$sku": ".*", "$instance": ".*"}


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
        "FLASHSALE_WEBHOOK_ALLOW_PRIVATE": "true",
        "FLASHSALE_PAYMENT_SECRET": PAYMENT_SECRET,
    }
    shop = stack.enter_context(_other_program())
    run(["flashsale", "webhook", "add", shop, "--event", "*"], environment)
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
    # Another installation, which delivers to a shop.
    delivering, shop_port = free_port(), free_port()
    at_a_shop = environment | {
        "FLASHSALE_BROKER_PREFIX": "shop.",
        "FLASHSALE_DRAIN_TARGET_MS": "",
        "FLASHSALE_SINK_URL": shop,
        "FLASHSALE_SINK_SECRET": f"whsec_{'c2Vj' * 8}",
        "FLASHSALE_GATEWAY_PORT": str(shop_port),
        "FLASHSALE_GATEWAY_WORKERS": "1",
    }
    for name, metrics_port in (("consumer", delivering), ("gateway", 0)):
        running = stack.enter_context(
            process(
                ["flashsale", name],
                folder / f"shop-{name}.log",
                at_a_shop | {"FLASHSALE_METRICS_PORT": str(metrics_port)},
            )
        )
    running.await_url(f"http://127.0.0.1:{shop_port}/readyz")
    jobs = {name: [found] for name, found in ports.items()}
    jobs["consumer"].append(delivering)
    server = stack.enter_context(prometheus(jobs | {"rabbitmq": [node.metrics_port]}))
    done = threading.Event()
    for work, each in ((_spike, port), (_spike, shop_port), (_provider, port)):
        spike = threading.Thread(target=work, args=(each, done))
        spike.start()
        stack.callback(spike.join)
    stack.callback(done.set)
    return Watched(server, list(ports.values()))


class _Taking(http.server.BaseHTTPRequestHandler):
    """Takes whatever is told to it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def _other_program() -> Iterator[str]:
    """The address of a program of the shop that is told what happens."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Taking) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hooks"
        finally:
            server.shutdown()
            serving.join()


async def _a_sale(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", stock=1_000_000))
        await ledger.create_sale(Sale("held", stock=1_000, hold_seconds=600))


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
        # A refusal costs hardly anything, and the processes that are watched need the machine.
        if done.wait(0.05 if answer.status == 503 else 0.003):
            break
    client.close()


def _provider(port: int, done: threading.Event) -> None:
    """Tell of the payment of one order, again and again, until the tests are done."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    order = json.dumps({"sku": "held", "customer_id": "payer"})
    json_type = {"Content-Type": "application/json"}
    paid = False
    for number in itertools.count():
        if not paid:
            client.request("POST", "/orders", order, json_type | {"Idempotency-Key": "one"})
            order_id = json.loads(client.getresponse().read()).get("order_id", "")
        body = json.dumps(
            {"order_id": order_id, "payment_id": "pay-1", "outcome": "succeeded"}
        ).encode()
        keys = [parse_secret(PAYMENT_SECRET)]
        signed = signed_headers(keys, f"msg-{number}", int(time.time()), body)
        client.request("POST", "/payments", body, json_type | signed)
        answer = client.getresponse()
        answer.read()
        paid = answer.status == 200
        if done.wait(0.2):
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
    deadline = time.monotonic() + 90
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
        deadline = time.monotonic() + 90
        while not watched.server.query(f"count({metric})"):
            assert time.monotonic() < deadline, (name, metric)
            time.sleep(0.1)
