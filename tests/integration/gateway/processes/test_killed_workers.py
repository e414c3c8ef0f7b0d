"""What a worker counted survives it: no kill between two scrapes takes more than 100 ms of it."""

import asyncio
import time

import aiohttp

from gateway.server.worker_metrics import Page, growing_families, read_page
from loadtest.processes import get
from loadtest.servers import free_port
from tests.conftest import unique
from tests.integration.gateway.processes.test_workers import all_ready, workers
from tests.integration.shop import Shop

SHOPPERS = 12
LOST_SECONDS = 0.1
# Each counts one for every accepted order.
COUNTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("flashsale_orders", "_total", {"outcome": "accepted"}),
    ("flashsale_accept_seconds", "_count", {}),
    ("flashsale_accept_seconds", "_bucket", {"le": "+Inf"}),
    (
        "flashsale_http_requests",
        "_total",
        {"method": "POST", "route": "/orders", "status": "202"},
    ),
)
# Counts announcements, too.
CONFIRMED = ("flashsale_broker_messages", "_total", {"answer": "confirmed"})


class Shopper:
    """Orders over one connection, and so from one worker, one order after the other."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.accepted_at: list[float] = []
        self.cut_off = False

    async def order(self, until: asyncio.Event) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
            while not until.is_set():
                body = {"sku": "tv", "customer_id": unique("c")}
                try:
                    async with client.post(f"{self._url}/orders", json=body) as answer:
                        assert answer.status == 202, await answer.text()
                        self.accepted_at.append(time.monotonic())
                except aiohttp.ClientError:
                    self.cut_off = True
                    return


async def scraped(port: int) -> Page:
    page = await asyncio.to_thread(lambda: get(f"http://127.0.0.1:{port}/metrics"))
    return read_page(page or "")


def value(page: Page, name: str, suffix: str, labels: dict[str, str]) -> float:
    return page[name].samples.get((name + suffix, tuple(sorted(labels.items()))), 0)


async def running(port: int, restarts: int) -> Page:
    """The metrics once both workers run, after that many restarts."""
    async with asyncio.timeout(60):
        while True:
            page = await scraped(port)
            if page and (
                value(page, "flashsale_gateway_worker_restarts", "_total", {}) == restarts
                and value(page, "flashsale_gateway_workers", "", {}) == 2
            ):
                return page
            await asyncio.sleep(0.05)


async def test_a_killed_worker_takes_no_more_than_100_ms_of_its_counts_with_it(shop: Shop) -> None:
    port = free_port()
    settings = {"gateway_workers": "2", "metrics_port": str(port), "queue_max_length": "100000"}
    with shop.start("gateway", **settings) as gateway:
        await all_ready(shop, gateway)
        before = await running(port, restarts=0)
        shoppers = [Shopper(shop.url) for _ in range(SHOPPERS)]
        until = asyncio.Event()
        ordering = [asyncio.create_task(shopper.order(until)) for shopper in shoppers]
        await asyncio.sleep(1.5)
        victim, _ = workers(gateway)
        killed_at = time.monotonic()
        victim.kill()
        await asyncio.sleep(0.2)
        until.set()
        await asyncio.gather(*ordering)
        after = await running(port, restarts=1)

        accepted = sum(len(shopper.accepted_at) for shopper in shoppers)
        cut_off = [shopper for shopper in shoppers if shopper.cut_off]
        moments = [moment for shopper in cut_off for moment in shopper.accepted_at]
        lately = sum(moment > killed_at - LOST_SECONDS for moment in moments)
        # The test would say nothing if the victim had done next to nothing.
        assert len(moments) > 5 * lately > 0
        for count in COUNTS:
            counted = value(after, *count) - value(before, *count)
            # An answer may have been on its way to each shopper who was cut off.
            assert accepted - lately <= counted <= accepted + len(cut_off), count
        assert accepted - lately <= value(after, *CONFIRMED) - value(before, *CONFIRMED)

        # And nothing else on the page has shrunk.
        for name, family in growing_families(before).items():
            for key, known in family.samples.items():
                assert after[name].samples[key] >= known, key
