"""Workers and gateways share what they saw of each client."""

import asyncio
import time

import aiohttp

from loadtest.servers import free_port
from tests.integration.gateway.processes.test_workers import WORKERS, all_ready, workers
from tests.integration.shop import Shop

RATE, BURST = 2, 5
LIMITS = {"client_rate": str(RATE), "client_burst": str(BURST)}


async def orders_of_one_address(urls: list[str], seconds: float) -> list[int]:
    """Send orders to all gateways as fast as they answer, each by a connection of its own."""
    statuses: list[int] = []
    until = time.monotonic() + seconds

    async def send(number: int) -> None:
        url = urls[number % len(urls)]
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            while time.monotonic() < until:
                order = {"sku": "tv", "customer_id": f"c-{number}-{len(statuses)}"}
                async with session.post(f"{url}/orders", json=order) as answer:
                    statuses.append(answer.status)

    await asyncio.gather(*(send(number) for number in range(8)))
    return statuses


def most(gateways: int, seconds: float) -> int:
    """What may slip through: a burst at each, the rate, and a request at each between the news."""
    return gateways * (BURST + 1) + int(RATE * (seconds + 1))


async def test_workers_of_a_gateway_limit_a_client_together(shop: Shop) -> None:
    settings = LIMITS | {"gateway_workers": str(WORKERS), "metrics_port": str(free_port())}
    with shop.start("gateway", **settings) as gateway:
        await all_ready(shop, gateway)
        statuses = await orders_of_one_address([shop.url], 8)
        assert set(statuses) == {202, 429}
        # Alone, each of them would allow 5 + 8 * 2.
        assert BURST + 8 * RATE - 1 <= statuses.count(202) <= most(WORKERS, 8)
        assert statuses.count(202) < WORKERS * (BURST + 8 * RATE) - 5
        assert all(each.cpu_times().user > 0 for each in workers(gateway))


async def test_gateways_limit_a_client_together(shop: Shop) -> None:
    other = str(free_port())
    with (
        shop.start("gateway", **LIMITS) as one,
        shop.start("gateway", gateway_port=other, **LIMITS) as two,
    ):
        urls = [shop.url, f"http://127.0.0.1:{other}"]
        shop.ready(one)
        two.await_url(f"{urls[1]}/readyz")
        statuses = await orders_of_one_address(urls, 8)
        assert BURST + 8 * RATE - 1 <= statuses.count(202) <= most(2, 8)
