"""What the embedded mode told a shopper before a power cut is true after it."""

import asyncio
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from flashsale.domain.order_states import Status
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.servers import free_port
from tests.conftest import unique
from tests.faults.image_disk import NoImageDisk, await_stopped, image_disk
from tests.faults.observed import SQLITE_SYNCHRONOUS
from tests.faults.scenario import EACH_SEED
from tests.processes import process

_SHOPPERS = 32
_ENOUGH = 200


async def shop(url: str, confirmed: set[str]) -> None:
    """Buy until the gateway is gone, and note which orders it says are confirmed."""

    async def one_after_the_other(client: aiohttp.ClientSession) -> None:
        with suppress(aiohttp.ClientError):
            while True:
                order = {"sku": "tv", "customer_id": unique("c"), "quantity": 1}
                async with client.post(f"{url}/orders", json=order) as answer:
                    order_id = (await answer.json())["order_id"]
                waiting = {"Prefer": "wait=20"}
                async with client.get(f"{url}/orders/{order_id}", headers=waiting) as answer:
                    if (await answer.json())["status"] == Status.CONFIRMED:
                        confirmed.add(order_id)

    async with aiohttp.ClientSession() as client:
        await asyncio.gather(*(one_after_the_other(client) for _ in range(_SHOPPERS)))


@pytest.mark.parametrize("seed", EACH_SEED)
@pytest.mark.parametrize(
    ("synchronous", "loses"), [("NORMAL", True), ("", False)], ids=["NORMAL", "ours"]
)
async def test_of_confirmed_orders_only_sqlite_without_full_sync_loses_some(
    synchronous: str,
    loses: bool,
    seed: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    try:
        with image_disk() as disk:
            database = f"sqlite+aiosqlite:///{disk.files}/flashsale.db"
            async with open_ledger(database) as ledger:
                await ledger.migrate()
                await ledger.create_sale(Sale("tv", 1_000_000))
            disk.sync()
            port = free_port()
            settings = {
                "FLASHSALE_DATABASE_URL": database,
                "FLASHSALE_GATEWAY_PORT": str(port),
                "FLASHSALE_METRICS_PORT": "0",
                SQLITE_SYNCHRONOUS: synchronous,
            }
            confirmed: set[str] = set()
            with process(["tests.faults.observed", "run"], tmp_path / "log", settings) as running:
                url = f"http://127.0.0.1:{port}"
                await asyncio.to_thread(running.await_url, f"{url}/healthz")
                shopping = asyncio.ensure_future(shop(url, confirmed))
                while len(confirmed) < _ENOUGH:
                    assert not shopping.done(), running.output
                    await asyncio.sleep(0.01)
                await asyncio.sleep(random.Random(seed).uniform(0.0, 1.0))
                running.signal(signal.SIGSTOP)
                await asyncio.to_thread(await_stopped, [running.pid])
                await asyncio.to_thread(disk.capture)
                running.kill()
                await shopping
            disk.restore()
            async with open_ledger(database) as ledger:
                lost = confirmed - set(await ledger.outcomes("tv"))
    except NoImageDisk as error:
        pytest.skip(str(error))
    what = f"SQLite, synchronous = {synchronous or 'FULL'}, shoppers"
    record_property("power cut", (what, seed, len(confirmed), len(lost)))
    assert bool(lost) == loses, f"{len(lost)} of {len(confirmed)}"
