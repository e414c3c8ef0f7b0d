"""The page that shows the API, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from loadtest.servers import free_port
from tests.browser.shops import SCREENSHOTS, SECONDS, Shop
from tests.processes import process


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    port = free_port()
    environment = {
        "FLASHSALE_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'sale.db'}",
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
        "FLASHSALE_ADMIN_TOKEN": "let me in, please",
    }
    shop = Shop(f"http://127.0.0.1:{port}", environment)
    with process(["flashsale", "run"], tmp_path / "run.log", environment) as running:
        running.await_url(f"{shop.url}/readyz")
        yield shop


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must have no script error, and break no rule of its own policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("console", lambda message: troubles.append(message.text))
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    yield opened
    context.close()
    assert troubles == []


def test_the_page_shows_every_operation_and_schema(page: Page, shop: Shop) -> None:
    with page.expect_response("**/openapi.json") as answered:
        page.goto(f"{shop.url}/docs")
    document = answered.value.json()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Flash sale gateway")
    operations = sum(len(item.keys() - {"parameters"}) for item in document["paths"].values())
    expect(page.locator(".operation")).to_have_count(operations)
    expect(page.locator("#schemas article")).to_have_count(len(document["components"]["schemas"]))

    page.get_by_label("Filter").fill("take an order")
    expect(page.locator(".operation:visible")).to_have_count(1)
    page.locator("#contents a:visible").click()
    opened = page.locator("#postOrder")
    expect(opened.get_by_text("Idempotency-Key", exact=True)).to_be_visible(timeout=5 * SECONDS)
    expect(opened.get_by_text("queue-full: Too many orders are waiting.")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "docs.png")
    opened.get_by_role("link", name="OrderRequest").click()
    expect(page.locator("#schema-OrderRequest")).to_be_in_viewport()


def test_the_page_fits_a_phone(page: Page, shop: Shop) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{shop.url}/docs#getOrderEvents")
    stream = page.locator("#getOrderEvents")
    expect(stream.get_by_role("link", name="TicketView")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=SCREENSHOTS / "docs-phone.png")
