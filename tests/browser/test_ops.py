"""The operator's page in a real browser, during a spike."""

import http.client
import itertools
import json
import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect

from loadtest.servers import free_port
from tests.browser.shops import SCREENSHOTS, SECONDS, Shop
from tests.processes import process

TOKEN = "let me in, please"


def flood(shop: Shop, done: threading.Event) -> None:
    """Order and order, over the drain's rate."""
    client = http.client.HTTPConnection(shop.url.removeprefix("http://"))
    headers = {"Content-Type": "application/json"}
    for number in itertools.count():
        body = json.dumps({"sku": "tv", "customer_id": f"c-{number}"})
        client.request("POST", "/orders", body, headers)
        client.getresponse().read()
        if done.wait(0.002):
            break
    client.close()


def test_the_page_shows_flood_backlog_and_flat_drain(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "FLASHSALE_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'sale.db'}",
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_ADMIN_TOKEN": TOKEN,
        "FLASHSALE_DRAIN_RATE": "20",
        "FLASHSALE_QUEUE_MAX_LENGTH": "100",
    }
    shop, done = Shop(f"http://127.0.0.1:{port}"), threading.Event()
    with process(["flashsale", "run"], tmp_path / "run.log", environment) as running:
        running.await_url(f"{shop.url}/readyz")
        create = ["flashsale", "sale", "create", "tv", "--stock", "100000"]
        with process(create, tmp_path / "create.log", environment) as creating:
            assert creating.wait() == 0
        stranger = browser.new_page()
        with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):  # and no password to give
            stranger.goto(f"{shop.url}/ops")
        stranger.close()

        context = browser.new_context(http_credentials={"username": "ops", "password": TOKEN})
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(f"{shop.url}/ops")
        expect(page.locator("#state")).to_have_text("Live", timeout=10 * SECONDS)
        spike = threading.Thread(target=flood, args=(shop, done))
        spike.start()
        try:
            expect(page.locator("#backlog")).to_have_text("100 of 100", timeout=20 * SECONDS)
            expect(page.locator("#eta")).to_have_text("5.0 s")
            expect(page.locator("#decided")).to_have_text(
                re.compile(r"^(1[5-9]|2[0-4])/s of 20$"), timeout=20 * SECONDS
            )
            expect(page.locator("canvas")).to_have_count(4)
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / "ops.png", full_page=True)
        finally:
            done.set()
            spike.join()
        running.stop()
        expect(page.locator("#state")).to_contain_text("Not live", timeout=20 * SECONDS)
        assert [t for t in troubles if "Failed to load resource" not in t] == []
        context.close()
