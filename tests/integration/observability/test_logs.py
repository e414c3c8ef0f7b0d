"""The log: one line an event, about its request and order, with no body and no secret in it."""

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.processes import Process
from loadtest.servers import free_port
from tests.conftest import unique
from tests.processes import process

SECRET = "a-secret-of-the-order-ids"


def call(
    port: int, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request(method, path, json.dumps(body), headers | {"Content-Type": "application/json"})
    answer = client.getresponse()
    told = answer.status, json.loads(answer.read())
    client.close()
    return told


def lines(running: Process) -> list[dict[str, Any]]:
    """Every line of the log. All of them are JSON."""
    return [json.loads(line) for line in running.output.splitlines()]


@pytest.fixture
async def settings(sqlite_url: str) -> dict[str, str]:
    async with open_ledger(sqlite_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", stock=1_000_000))
    return {
        "FLASHSALE_DATABASE_URL": sqlite_url,
        "FLASHSALE_GATEWAY_PORT": str(free_port()),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_LOG_FORMAT": "json",
        "FLASHSALE_SECRET_KEY": SECRET,
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_SERVICES": "none",
    }


async def test_orders_and_polls_write_no_line_each(
    settings: dict[str, str], tmp_path: Path
) -> None:
    port = int(settings["FLASHSALE_GATEWAY_PORT"])
    with process(["flashsale", "run"], tmp_path / "log", settings) as running:
        running.await_url(f"http://127.0.0.1:{port}/readyz")
        async with asyncio.timeout(60):
            while "drain is active" not in running.output:  # the last that it says at its start
                await asyncio.sleep(0.02)
        before = len(lines(running))
        for _ in range(50):
            customer = unique("customer")
            status, order = call(port, "POST", "/orders", {"sku": "tv", "customer_id": customer})
            assert status == 202
            call(port, "GET", f"/orders/{order['order_id']}")
            call(port, "GET", "/nowhere")
            assert call(port, "POST", "/orders", {"sku": "tv"})[0] == 422
        assert lines(running)[before:] == []
        running.stop()
        assert "customer" not in running.output


async def test_a_failure_is_logged_with_its_request_and_order_but_not_what_was_sent(
    settings: dict[str, str], tmp_path: Path
) -> None:
    port = int(settings["FLASHSALE_GATEWAY_PORT"])
    root = Path(__file__).parents[3]
    environment = settings | {"PYTHONPATH": str(root)}
    with process(["tests.failing"], tmp_path / "log", environment) as failing:
        failing.await_url(f"http://127.0.0.1:{port}/readyz")
        body = {"sku": "tv", "customer_id": "alice@example.org"}
        key = "a-key-of-alice"
        headers = {"X-Request-ID": "balancer-17", "Idempotency-Key": key}
        status, problem = call(port, "POST", "/orders", body, **headers)
        assert (status, problem["request_id"]) == (500, "balancer-17")
        status, unnamed = call(port, "POST", "/orders", body, **{"X-Request-ID": 'forged" id'})
        assert status == 500
        failures = [line for line in lines(failing) if line["event"] == "request failed"]
    assert [line["request_id"] for line in failures] == ["balancer-17", unnamed["request_id"]]
    for line in failures:
        assert (line["method"], line["route"], line["level"]) == ("POST", "/orders", "error")
        assert len(line["order_id"]) == 32
        assert "ZeroDivisionError" in line["exception"]
    libraries = [line for line in lines(failing) if line.get("logger") == "a.library"]
    assert [(line["event"], line["level"]) for line in libraries] == [
        ("it warns of 7 things", "warning")
    ] * 2
    for told in ("alice", key, SECRET, "forged"):
        assert told not in failing.output
