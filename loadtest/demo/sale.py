"""Run a whole sale on a running stack: shoppers, a live view, and the outcome."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from flashsale.audit.history import OrderAttempt
from flashsale.domain.order_states import Status
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.runtime.settings import Settings
from loadtest.demo import holds
from loadtest.demo.live_view import LiveView
from loadtest.demo.report import Evidence, Report, judge, orders_sent
from loadtest.demo.watch import Watch
from loadtest.measure.cores import Cores
from loadtest.processes import Process, ProcessFailed, Samples, process, scrape
from services.installed import chosen_services

_SAMPLE_SECONDS = 0.25
_DRAINED_WITHIN_SECONDS = 60
_SERVED_WITHIN_SECONDS = 180
_SHARE_OF_SPIKE_UNTIL_SOLD = 0.6
_BASE_RATE = 50
_CALM_ORDERS = 4 * _BASE_RATE


@dataclass(frozen=True)
class Spike:
    """The load: for `seconds`, at `rate` orders a second. The sale has `stock` items."""

    seconds: int
    rate: int
    stock: int | None = None
    holds: bool = False
    """Whether an order holds its item until it is paid."""


@dataclass(frozen=True)
class Stack:
    """The running processes: the gateway's URL, and the metrics ports of all."""

    url: str
    ports: Sequence[int]
    """The consumer's port is the first, the gateway's the last."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a sale: samples of its metrics, the shoppers' history, and the report."""

    watch: Watch
    history: Sequence[OrderAttempt]
    report: Report


def run_sale(
    spike: Spike,
    settings: Settings,
    stack: Stack,
    folder: Path,
    console: Console,
    cores: Cores | None = None,
) -> Outcome:
    """Run a sale with a new sku. Raises `ProcessFailed` if Locust can't run."""
    sku = f"demo-{time.time_ns() // 1_000_000:x}"
    share = holds.SHARE_OF_SPIKE_UNTIL_HELD if spike.holds else _SHARE_OF_SPIKE_UNTIL_SOLD
    stock = spike.stock or max(1, round(settings.drain_rate * spike.seconds * share))
    sale = holds.sale_with_holds(sku, stock) if spike.holds else Sale(sku, stock)
    asyncio.run(_create(settings.database_url, sale))
    where = "embedded broker and database" if settings.embedded else "RabbitMQ and the database"
    console.print(
        f"A sale of {stock:,} items: {_BASE_RATE} orders a second, then {spike.rate:,} for"
        f" {spike.seconds} s, then {_BASE_RATE} again. {where.capitalize()},"
        f" queue of {settings.queue_max_length:,}, drain of {settings.drain_rate:,}/s."
    )
    if spike.holds:
        console.print(
            f"An order holds its item for {holds.HOLD_SECONDS} s: some shoppers pay, some fail to,"
            f" some leave, and some are late. {sale.waitlist:,} may wait for an item that is freed."
        )
    watch = Watch(
        stack.ports, sku, settings.queue_max_length, settings.drain_rate, holds=spike.holds
    )
    load = holds.load_with_holds(settings) if spike.holds else {}
    with LiveView(watch, console) as view, _shoppers(spike, stack, sku, folder, load) as shoppers:
        if cores is not None:
            cores.follow("shoppers", shoppers.pid)
        calm: dict[str, float] = {}
        while shoppers.running:
            if watch.sample().arrived < _CALM_ORDERS:
                calm = _service_seconds(stack.ports)
            if cores is not None:
                cores.sample()
            view.show()
            time.sleep(_SAMPLE_SECONDS)
        if shoppers.wait() not in (0, 1):  # 1: Locust counted failures, which the report has, too
            raise ProcessFailed(shoppers.output[-2000:])
        # Wait for the backlog to drain, so that the chart shows it.
        deadline = time.monotonic() + _DRAINED_WITHIN_SECONDS
        while watch.sample().decided < watch.samples[-1].accepted:
            view.show()
            if time.monotonic() > deadline:
                break
            time.sleep(_SAMPLE_SECONDS)
        if spike.holds:
            asyncio.run(holds.holds_ended(settings, watch, view.show))
        console.print("Every order is decided. Waiting for the services.")
        asyncio.run(_services_done(settings, sku))
        time.sleep(1)  # the gateway updates its metrics of backlog and stock
        watch.sample()
        view.show()
    history = orders_sent(folder)
    took = calm, _service_seconds(stack.ports)
    return Outcome(watch, history, asyncio.run(_judge(settings, watch, history, took)))


async def _services_done(settings: Settings, sku: str) -> None:
    """Wait until every service has handled every confirmed order, for three minutes at most."""
    services = len(chosen_services(settings.services))
    async with open_ledger(settings.database_url, settings.database_schema) as ledger:
        confirmed = sum(
            outcome.status is Status.CONFIRMED for outcome in (await ledger.outcomes(sku)).values()
        )
        deadline = time.monotonic() + _SERVED_WITHIN_SECONDS
        while time.monotonic() < deadline:
            done = sum(journey.services for journey in await ledger.effects.journeys(sku))
            if done >= services * confirmed:
                return
            await asyncio.sleep(_SAMPLE_SECONDS)


def _service_seconds(ports: Sequence[int]) -> dict[str, float]:
    """Return the average seconds of each service for an event."""
    seen: Samples = {}
    for port in ports:
        seen |= scrape(port)
    return {
        service: seen["flashsale_service_seconds_sum", service] / count
        for (name, service), count in seen.items()
        if name == "flashsale_service_seconds_count" and count
    }


async def _create(url: str, sale: Sale) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(sale)


def _shoppers(
    spike: Spike, stack: Stack, sku: str, folder: Path, load: Mapping[str, str]
) -> contextlib.AbstractContextManager[Process]:
    return process(
        [
            "locust",
            *("--locustfile", str(Path(__file__).parents[1] / "locustfile.py")),
            *("--host", stack.url),
            *("--headless", "--processes", "2", "--only-summary", "--stop-timeout", "5"),
            *("--html", str(folder / "locust.html"), "--csv", str(folder / "locust")),
        ],
        folder / "locust.log",
        {
            "FLASHSALE_LOAD_SKU": sku,
            "FLASHSALE_LOAD_BASE": str(_BASE_RATE),
            "FLASHSALE_LOAD_SPIKE": str(spike.rate),
            "FLASHSALE_LOAD_SECONDS": str(spike.seconds),
            "FLASHSALE_LOAD_HISTORY": str(folder),
            **load,
        },
    )


async def _judge(
    settings: Settings,
    watch: Watch,
    history: Sequence[OrderAttempt],
    took: tuple[dict[str, float], dict[str, float]],
) -> Report:
    async with open_ledger(settings.database_url, settings.database_schema) as ledger:
        sale = next(sale for sale in await ledger.sales() if sale.sku == watch.sku)
        outcomes = await ledger.outcomes(watch.sku)
        evidence = Evidence(
            history=history,
            outcomes=outcomes,
            books=await ledger.audit(),
            stock=sale.stock or 0,
            sold=sale.sold,
            drain_rate_limit=settings.drain_rate,
            drain_rate_max_1s=max(sample.released_max_1s for sample in watch.samples),
            calm_service_seconds=took[0],
            service_seconds=took[1],
            journeys=await ledger.effects.journeys(watch.sku),
            held=(await ledger.holdings([watch.sku])).orders if sale.hold_seconds else (),
            overdue=holds.overdue(outcomes.values(), time.time()),
        )
    return judge(evidence)
