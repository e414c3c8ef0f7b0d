"""A gateway of several processes: one port, one `/metrics`, none of them left behind."""

import asyncio
from collections.abc import Callable

import psutil
import pytest

from loadtest.processes import Process, Samples, scrape
from loadtest.servers import free_port
from tests.integration.shop import Shop

WORKERS = 2


def workers(gateway: Process) -> list[psutil.Process]:
    return [p for p in psutil.Process(gateway.pid).children() if "gateway.worker" in p.cmdline()]


def listens(worker: psutil.Process) -> bool:
    return any(c.status == psutil.CONN_LISTEN for c in worker.net_connections("tcp"))


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


async def all_ready(shop: Shop, gateway: Process) -> None:
    """Each hears the others only from when it is ready, and any of them answers."""
    await until(lambda: sum(map(listens, workers(gateway))) == WORKERS)

    async def ready() -> bool:
        async with shop.client.get(f"{shop.url}/readyz", headers={"Connection": "close"}) as answer:
            return answer.status == 200

    async with asyncio.timeout(60):
        while not all([await ready() for _ in range(12)]):
            await asyncio.sleep(0.1)


async def metrics_when(port: int, condition: Callable[[Samples], bool]) -> Samples:
    """The first page of metrics of which the condition holds."""
    seen: Samples = {}

    def look() -> bool:
        nonlocal seen
        seen = scrape(port)
        return bool(seen) and condition(seen)

    await until(look)
    return seen


@pytest.fixture
def many(shop: Shop) -> dict[str, str]:
    return {"gateway_workers": str(WORKERS), "metrics_port": str(free_port())}


async def test_workers_share_a_port_and_are_counted_as_one(
    shop: Shop, many: dict[str, str]
) -> None:
    port = int(many["metrics_port"])
    with shop.start("gateway", **many) as gateway:
        shop.ready(gateway)
        await metrics_when(port, lambda s: s["flashsale_gateway_workers", ""] == WORKERS)
        await shop.orders(300)
        accepted = "flashsale_orders_total", "accepted"
        seen = await metrics_when(port, lambda s: s.get(accepted) == 300)
        assert seen["flashsale_accept_seconds_count", ""] == 300
        # Both had a share, or the port would not be theirs.
        assert all(p.cpu_times().user > 0 for p in workers(gateway))

        victim, survivor = workers(gateway)
        victim.kill()
        await metrics_when(port, lambda s: s["flashsale_gateway_worker_restarts_total", ""] == 1)
        await until(lambda: len(workers(gateway)) == WORKERS)
        assert survivor.is_running()
        seen = await metrics_when(port, lambda s: s["flashsale_gateway_workers", ""] == WORKERS)
        assert seen[accepted] == 300
        await shop.orders(100)
        await metrics_when(port, lambda s: s.get(accepted) == 400)

        left = workers(gateway)
        with shop.start("consumer"):
            await shop.balanced(400)
        assert gateway.stop() == 0
        assert not [p for p in left if p.is_running()]


async def test_workers_end_with_a_parent_that_was_killed(shop: Shop, many: dict[str, str]) -> None:
    with shop.start("gateway", **many) as gateway:
        shop.ready(gateway)
        orphans = workers(gateway)
        assert len(orphans) == WORKERS
        gateway.kill()
        await until(lambda: not any(p.is_running() for p in orphans))


async def test_any_worker_knows_an_order_that_another_took(
    shop: Shop, many: dict[str, str]
) -> None:
    with shop.start("gateway", **many) as gateway:
        await all_ready(shop, gateway)
        await shop.orders(20)
        # A connection each, so that each worker is asked about each order, most likely. What one
        # took the other hears of within a moment.
        async with asyncio.timeout(60):
            for order_id in shop.accepted:
                in_a_row = 0
                while in_a_row < 4:
                    async with shop.client.get(
                        f"{shop.url}/orders/{order_id}", headers={"Connection": "close"}
                    ) as answer:
                        in_a_row = in_a_row + 1 if answer.status == 200 else 0
                        assert answer.status == 404 or (await answer.json())["status"] == "queued"


async def test_the_operator_sees_the_arrivals_of_all_workers(
    shop: Shop, many: dict[str, str]
) -> None:
    headers = {"Authorization": "Bearer a-token-of-ours", "Connection": "close"}

    async def arrived() -> int:
        async with shop.client.get(f"{shop.url}/ops/samples", headers=headers) as answer:
            told = await answer.json()
        column = told["fields"].index("arrived")
        return sum(sample[column] for sample in told["samples"])

    with shop.start("gateway", admin_token="a-token-of-ours", **many) as gateway:
        await all_ready(shop, gateway)
        await shop.orders(60)
        async with asyncio.timeout(60):
            while [await arrived() for _ in range(6)] != [60] * 6:
                await asyncio.sleep(0.1)


async def test_a_gateway_whose_workers_can_not_start_ends_with_their_error(shop: Shop) -> None:
    nowhere = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    with shop.start("gateway", gateway_workers="2", broker_url=nowhere) as gateway:
        assert await asyncio.to_thread(gateway.wait) == 1
        assert "no broker at FLASHSALE_BROKER_URL" in gateway.output
        assert "Traceback" not in gateway.output


async def test_a_taken_port_is_one_line_and_a_failure(shop: Shop, many: dict[str, str]) -> None:
    with shop.start("gateway") as first:
        shop.ready(first)
        with shop.start("gateway", **many) as second:
            assert await asyncio.to_thread(second.wait) == 1
            assert f"can't listen on 127.0.0.1 port {shop.port}" in second.output
            assert "Traceback" not in second.output
