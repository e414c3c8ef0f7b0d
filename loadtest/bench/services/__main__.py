"""`make bench-services`: measure relay and services, and their effect on response times."""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import asyncpg
from rich.progress import track

from flashsale.domain.order_ids import random_order_id
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.bench.results import RESULTS, print_figures
from loadtest.processes import process
from loadtest.servers import free_port, postgres, rabbitmq

SERVICES = ("loyalty", "mail", "ranking", "webhook")
_BATCH = 500
_CUSTOMERS = 5_000
_STEADY_RATE = 300
_LATENCY = {"mail": 200, "loyalty": 300, "ranking": 500}
_PATIENCE_SECONDS = 120


def main() -> None:
    """Measure, print a table, write bench-results/bench-services.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--orders", type=int, default=30_000, help="confirmed orders (default: 30000)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of intake (default: 5)")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.orders, arguments.rounds))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench-services.json").write_text(json.dumps(figures, indent=2) + "\n")
    print_figures(figures)


async def measure(orders: int, rounds: int) -> dict[str, float]:
    """Return all figures of the benchmark."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stack.enter_context(rabbitmq())
        database = stack.enter_context(postgres())  # durable, as in production
        environment = {
            "FLASHSALE_BROKER_URL": node.url,
            "FLASHSALE_DATABASE_URL": database.url(),
            "FLASHSALE_METRICS_PORT": "0",
        }
        await _sell(database.url(), orders)
        connection = await asyncpg.connect(database.dsn())
        try:
            # The drain's rate limits the relay as well, so lift it.
            free = {**environment, "FLASHSALE_DRAIN_RATE": "1000000"}
            with process(["flashsale", "consumer"], folder / "consumer.log", free):
                await _until(connection, "SELECT count(*) = 0 FROM outbox WHERE sent_at IS NULL")
            relayed = await _per_second(connection, "SELECT sent_at AS at FROM outbox")
            alone = {}
            for name in track(SERVICES, "handling"):
                with process(["flashsale", "services", name], folder / f"{name}.log", environment):
                    alone[name] = await _handled(connection, [name], orders)
            await _sell(database.url(), orders)
            with (
                process(["flashsale", "consumer"], folder / "consumer.log", free),
                process(["flashsale", "services"], folder / "services.log", environment),
            ):
                await _handled(connection, SERVICES, 2 * orders)
            together = await _per_second(
                connection,
                "SELECT done_at AS at FROM effects WHERE done_at >"
                " (SELECT max(created_at) FROM outbox)",
            )
        finally:
            await connection.close()
        ratio = await _accept_ratio(environment, folder, rounds)
    return {
        "relayed_per_second": round(relayed),
        "handled_per_second": round(min(alone.values())),
        **{f"handled_{name}_per_second": round(rate) for name, rate in alone.items()},
        "handled_together_per_second": round(together / len(SERVICES)),
        "accept_ratio_services_on_to_off": round(ratio, 3),
    }


async def _sell(url: str, orders: int) -> None:
    """Confirm so many orders in the ledger, as a drain does, of returning customers."""
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        if not await ledger.sales():
            await ledger.create_sale(Sale("bench", stock=1_000_000_000))
        async with ledger.hold_drain("bench") as lease:
            sink = lease.open_sink()
            for first in track(range(0, orders, _BATCH), "selling"):
                now = time.time()
                await sink.sell(
                    [
                        Order(random_order_id(), "bench", f"c-{n % _CUSTOMERS}", 1, now)
                        for n in range(first, min(first + _BATCH, orders))
                    ],
                    now,
                )


async def _until(connection: asyncpg.Connection, condition: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not await connection.fetchval(condition):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not so after {_PATIENCE_SECONDS} s: {condition}")
        await asyncio.sleep(0.1)


async def _handled(
    connection: asyncpg.Connection, services: tuple[str, ...] | list[str], orders: int
) -> float:
    """Wait until each service has handled so many events; return the rate of the first one."""
    for name in services:
        await _until(
            connection, f"SELECT count(*) >= {orders} FROM effects WHERE service = '{name}'"
        )
    return await _per_second(
        connection, f"SELECT done_at AS at FROM effects WHERE service = '{services[0]}'"
    )


async def _per_second(connection: asyncpg.Connection, moments: str) -> float:
    """Return events a second. The first batch starts the clock and does not count."""
    rate = await connection.fetchval(
        f"WITH m AS ({moments}), ends AS (SELECT min(at) AS a, max(at) AS z FROM m)"
        " SELECT count(*) / nullif(max(z) - max(a), 0) FROM m, ends WHERE at > a"
    )
    return float(rate)


async def _accept_ratio(environment: Mapping[str, str], folder: Path, rounds: int) -> float:
    """Return the median response time of `POST /orders` with services, relative to without."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    latency = {f"FLASHSALE_{name.upper()}_LATENCY_MS": str(ms) for name, ms in _LATENCY.items()}
    with (
        process(
            ["flashsale", "gateway"],
            folder / "gateway.log",
            {**environment, "FLASHSALE_GATEWAY_PORT": str(port)},
        ) as gateway,
        process(["flashsale", "consumer"], folder / "consumer.log", environment),
    ):
        gateway.await_url(f"{url}/readyz")
        on: list[float] = []
        off: list[float] = []
        async with aiohttp.ClientSession() as client:
            await _response_times(client, url)  # warm-up
            for _ in track(range(rounds), "accepting"):
                off.append(await _response_times(client, url))
                metrics = free_port()
                with process(
                    ["flashsale", "services"],
                    folder / "services.log",
                    {**environment, **latency, "FLASHSALE_METRICS_PORT": str(metrics)},
                ) as services:
                    services.await_url(f"http://127.0.0.1:{metrics}/metrics")
                    # Let the services handle older events before the measurement.
                    await _quiet(environment["FLASHSALE_DATABASE_URL"])
                    on.append(await _response_times(client, url))
    return statistics.median(on) / statistics.median(off)


async def _quiet(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await _until(
            connection,
            f"SELECT (SELECT count(*) FROM effects) = {len(SERVICES)} * (SELECT count(*)"
            " FROM orders)",
        )
    finally:
        await connection.close()


async def _response_times(client: aiohttp.ClientSession, url: str, seconds: float = 4) -> float:
    """Return the median response time in seconds of an open loop at a steady rate."""
    body = {"sku": "bench", "customer_id": "c-1"}
    start = time.perf_counter() + 0.1

    async def order(number: int) -> float:
        at = start + number / _STEADY_RATE
        await asyncio.sleep(at - time.perf_counter())
        async with client.post(f"{url}/orders", json=body) as answer:
            if answer.status != 202:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")
        return time.perf_counter() - at

    orders = range(round(seconds * _STEADY_RATE))
    return statistics.median(await asyncio.gather(*(order(number) for number in orders)))


if __name__ == "__main__":
    main()
