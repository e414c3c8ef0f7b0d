"""Shops for the tests of pages: a sale, and the processes that sell it."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, ViewportSize

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from tests.database import execute

SCREENSHOTS = Path(__file__).parent / "screenshots"
PHONE: ViewportSize = {"width": 390, "height": 844}
SECONDS = 1000


@dataclass
class Shop:
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def execute(self, statement: str) -> None:
        """Run a statement on its database."""
        elsewhere(execute(self.environment["FLASHSALE_DATABASE_URL"], statement))

    def order(self, customer: str) -> int:
        """Order as somebody else; the status."""
        request = urllib.request.Request(
            f"{self.url}/orders",
            json.dumps({"sku": "tv", "customer_id": customer}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


StartShop = Callable[..., Shop]
NewShopper = Callable[..., Page]


def elsewhere(work: Coroutine[None, None, None]) -> None:
    """Run it in another thread, as Playwright runs a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def open_sale(url: str, sale: Sale) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(sale)


def buy(page: Page, shop: Shop, customer: str = "me@example.org") -> None:
    page.goto(shop.url)
    page.get_by_label("Your e-mail or name").fill(customer)
    page.get_by_role("button", name="Buy one").click()


def headline(page: Page) -> str:
    return page.locator("#headline").inner_text()
