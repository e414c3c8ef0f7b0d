"""Scraped all the time, the metrics of a gateway never shrink, however its workers end."""

import asyncio
import random
import signal

from gateway.server.worker_metrics import Page, growing_families
from loadtest.servers import free_port
from tests.integration.gateway.processes.test_killed_workers import (
    Shopper,
    running,
    scraped,
    value,
)
from tests.integration.gateway.processes.test_workers import all_ready, until, workers
from tests.integration.shop import Shop

Count = tuple[str, str, dict[str, str]]

ACCEPTED: Count = ("flashsale_orders", "_total", {"outcome": "accepted"})
OBSERVED: Count = ("flashsale_accept_seconds", "_count", {})
BUCKET: Count = ("flashsale_accept_seconds", "_bucket", {"le": "+Inf"})


class Scraper:
    """Scrapes again and again, and compares each page with the one before."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.pages = 0
        self.last: Page = {}
        self.shrunk: list[str] = []
        self.slowest = 0.0

    async def scrape(self, ended: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        while not ended.is_set():
            asked_at = clock()
            page = await scraped(self._port)
            self.slowest = max(self.slowest, clock() - asked_at)
            if not page:
                self.shrunk.append("no page at all")
                continue
            for name, family in growing_families(self.last).items():
                now = page[name].samples if name in page else {}
                self.shrunk += [
                    f"{key}: {known} -> {now.get(key)}"
                    for key, known in family.samples.items()
                    if now.get(key, -1) < known
                ]
            self.last, self.pages = page, self.pages + 1


async def test_counts_never_shrink_while_workers_are_killed_frozen_and_restarted(
    shop: Shop,
) -> None:
    port = free_port()
    settings = {"gateway_workers": "2", "metrics_port": str(port), "queue_max_length": "100000"}
    dice = random.Random(1)
    with shop.start("gateway", **settings) as gateway:
        await all_ready(shop, gateway)
        before = await running(port, restarts=0)
        scraper, ended = Scraper(port), asyncio.Event()
        scraping = asyncio.create_task(scraper.scrape(ended))
        accepted = cut_off = 0
        for victims, frozen in ((2, False), (1, True)):
            shoppers = [Shopper(shop.url) for _ in range(6)]
            enough = asyncio.Event()
            ordering = [asyncio.create_task(shopper.order(enough)) for shopper in shoppers]
            await asyncio.sleep(dice.uniform(0.3, 0.6))
            chosen = dice.sample(workers(gateway), victims)
            for worker in chosen:
                if frozen:
                    worker.send_signal(signal.SIGSTOP)
                    await asyncio.sleep(1.5)  # some scrapes find it hung
                worker.kill()
            await asyncio.sleep(0.1)
            enough.set()
            await asyncio.gather(*ordering)
            accepted += sum(len(shopper.accepted_at) for shopper in shoppers)
            cut_off += sum(shopper.cut_off for shopper in shoppers)
            await until(lambda n=victims: len(workers(gateway)) == 2)  # type: ignore[misc]
            await all_ready(shop, gateway)
        after = await running(port, restarts=3)
        ended.set()
        await scraping

    assert scraper.shrunk == []
    assert scraper.pages > 5
    assert scraper.slowest < 2.5, "a hung worker holds up the scrape"
    for count in (ACCEPTED, OBSERVED, BUCKET):
        counted = value(after, *count) - value(before, *count)
        # Some answers were on their way, and what a worker counted in its last moment is lost.
        assert accepted * 0.75 < counted <= accepted + cut_off
    # Gauges are those of the workers that run.
    assert value(after, "flashsale_gateway_workers", "", {}) == 2
    assert value(after, "process_resident_memory_bytes", "", {}) < 2 * 300e6
