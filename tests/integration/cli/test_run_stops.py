"""`flashsale run` on the embedded stack decides what it has accepted before it ends."""

import asyncio
import base64
import json
import urllib.request
from pathlib import Path

import pytest

from flashsale.messages.standard_webhooks import SECRET_PREFIX
from loadtest.servers import free_port
from tests.database import rows
from tests.integration.cli.test_cli import flashsale
from tests.processes import process
from tests.shop import KEY, open_shop

ORDERS = 30


def order(port: int, number: int) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/orders",
        json.dumps({"sku": "tv", "customer_id": f"c-{number}"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return int(answer.status)


@pytest.mark.parametrize("to", ["the ledger", "a shop"])
async def test_run_decides_what_it_has_accepted_before_it_ends(
    sqlite_url: str, tmp_path: Path, to: str
) -> None:
    async with open_shop() as shop:
        port = free_port()
        settings = {
            "FLASHSALE_DATABASE_URL": sqlite_url,
            "FLASHSALE_GATEWAY_PORT": str(port),
            "FLASHSALE_METRICS_PORT": "0",
            # So slowly that most orders are neither ready nor decided when it is told to stop.
            "FLASHSALE_DRAIN_RATE": "20",
            "FLASHSALE_DRAIN_BATCH": "20",
            "FLASHSALE_SHUTDOWN_SECONDS": "0",
        }
        if to == "a shop":
            await shop.behave(delay=0.3)
            settings |= {
                "FLASHSALE_SINK_URL": shop.url,
                "FLASHSALE_SINK_SECRET": SECRET_PREFIX + base64.b64encode(KEY).decode(),
            }
        flashsale("migrate", database_url=sqlite_url)
        flashsale("sale", "create", "tv", "--stock", "1000", database_url=sqlite_url)
        with process(["flashsale", "run"], tmp_path / "run.log", settings) as running:
            running.await_url(f"http://127.0.0.1:{port}/readyz")
            answers = await asyncio.to_thread(lambda: [order(port, n) for n in range(ORDERS)])
            assert answers == [202] * ORDERS
            await asyncio.to_thread(running.stop)
        decided = await rows(sqlite_url, "SELECT status, delivery FROM orders")
        expected = "delivered" if to == "a shop" else None
        assert [tuple(row) for row in decided] == [("confirmed", expected)] * ORDERS
