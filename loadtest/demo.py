"""`flashsale demo`: a whole sale, from its first order to its report."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pydantic import SecretStr
from rich.console import Console

from flashsale.ledger import LedgerError, open_ledger
from flashsale.orders import Status
from flashsale.process import fail
from flashsale.selling import Sale
from flashsale.settings import PREFIX, Settings, SettingsError, load_settings
from loadtest.processes import Process, ProcessFailed, Samples, process, scrape
from loadtest.report import Evidence, Report, judge, print_report, read_history
from loadtest.servers import free_port
from loadtest.watch import View, Watch, draw
from services.installed import chosen_services

_SAMPLE_SECONDS = 0.25
_DRAINED_WITHIN_SECONDS = 60
_SERVED_WITHIN_SECONDS = 180
_SHARE_OF_SPIKE_UNTIL_SOLD = 0.6
_BASE_RATE = 50
_CALM_ORDERS = 4 * _BASE_RATE
_LATENCY_MS = {"mail": 200, "loyalty": 300, "ranking": 500}


@dataclass(frozen=True)
class Plan:
    """What is to be shown. `rate` is in orders a second."""

    seconds: int
    rate: int
    stock: int | None
    json_file: Path | None
    chart: Path


def run_demo(plan: Plan, overrides: Mapping[str, str]) -> int:
    """Run a sale and report; the exit code: 0 if every promise was kept."""
    console = Console()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flashsale-")))
            watch, report = _run(plan, _settings(overrides, folder), folder, console)
    except (SettingsError, ProcessFailed, LedgerError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped before the end of the sale")
    draw(watch, plan.chart)
    print_report(report, console)
    console.print(f"The picture of it: {plan.chart}")
    if plan.json_file is not None:
        plan.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return 1 if report.broken else 0


def _settings(overrides: Mapping[str, str], folder: Path) -> Settings:
    """The settings of the environment, on ports of our own and, unless named, a new database."""
    own = {
        "database_url": f"sqlite+aiosqlite:///{folder / 'demo.db'}",
        "gateway_port": free_port(),
        "metrics_port": free_port(),
        "mail_folder": str(folder / "mail"),
        **{f"{name}_latency_ms": ms for name, ms in _LATENCY_MS.items()},
    }
    return load_settings(**own | dict(overrides))


def _run(plan: Plan, settings: Settings, folder: Path, console: Console) -> tuple[Watch, Report]:
    sku = f"demo-{time.time_ns() // 1_000_000:x}"
    sold_within = plan.seconds * _SHARE_OF_SPIKE_UNTIL_SOLD
    stock = plan.stock or max(1, round(settings.drain_rate * sold_within))
    asyncio.run(_prepare(settings.database_url, Sale(sku, stock)))
    where = "embedded broker and database" if settings.embedded else "RabbitMQ and the database"
    console.print(
        f"A sale of {stock:,} items: {_BASE_RATE} orders a second, then {plan.rate:,} for"
        f" {plan.seconds} s, then {_BASE_RATE} again. {where.capitalize()},"
        f" queue of {settings.queue_max_length:,}, drain of {settings.drain_rate:,}/s."
    )
    with ExitStack() as stack:
        ports = _start(stack, settings, folder)
        watch = Watch(ports, sku, settings.queue_max_length, settings.drain_rate)
        with View(watch, console) as view:
            shoppers = stack.enter_context(_shoppers(plan, settings, sku, folder))
            calm: dict[str, float] = {}
            while shoppers.running:
                if watch.sample().arrived < _CALM_ORDERS:
                    calm = _service_seconds(ports)
                view.show()
                time.sleep(_SAMPLE_SECONDS)
            if shoppers.wait() not in (0, 1):  # 1: it counted failures, and so do we
                raise ProcessFailed(shoppers.output[-2000:])
            # The backlog drains by itself; the picture shows that too.
            deadline = time.monotonic() + _DRAINED_WITHIN_SECONDS
            while watch.sample().decided < watch.samples[-1].accepted:
                view.show()
                if time.monotonic() > deadline:
                    break
                time.sleep(_SAMPLE_SECONDS)
            console.print("Everything is decided; the services finish.")
            asyncio.run(_services_done(settings, sku))
            time.sleep(1)  # the gateways' own counts of backlog and stock follow
            watch.sample()
            view.show()
        took = calm, _service_seconds(ports)
    return watch, asyncio.run(_judge(settings, sku, watch, took, folder))


async def _services_done(settings: Settings, sku: str) -> None:
    """Wait until every service has done every confirmed order, or for three minutes."""
    services = len(chosen_services(settings.services))
    async with open_ledger(settings.database_url) as ledger:
        confirmed = sum(
            outcome.status is Status.CONFIRMED for outcome in (await ledger.outcomes(sku)).values()
        )
        deadline = time.monotonic() + _SERVED_WITHIN_SECONDS
        while time.monotonic() < deadline:
            done = sum(journey.services for journey in await ledger.effects.journeys(sku))
            if done >= services * confirmed:
                return
            await asyncio.sleep(_SAMPLE_SECONDS)


def _service_seconds(ports: list[int]) -> dict[str, float]:
    """What each service took for an event, on average."""
    seen: Samples = {}
    for port in ports:
        seen |= scrape(port)
    return {
        service: seen["flashsale_service_seconds_sum", service] / count
        for (name, service), count in seen.items()
        if name == "flashsale_service_seconds_count" and count
    }


async def _prepare(url: str, sale: Sale) -> None:
    async with open_ledger(url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(sale)


def _start(stack: ExitStack, settings: Settings, folder: Path) -> list[int]:
    """Start the stack's processes; their metrics ports."""
    environment = _environment(settings)
    if settings.embedded:
        names, ports = ["run"], [settings.metrics_port or 0]
    else:
        names = ["consumer", "gateway"]
        if settings.services != "none":
            names.insert(1, "services")
        ports = [*(free_port() for _ in names[1:]), settings.metrics_port or 0]
    started = [
        stack.enter_context(
            process(
                ["flashsale", name],
                folder / f"{name}.log",
                environment | {f"{PREFIX}METRICS_PORT": str(port)},
            )
        )
        for name, port in zip(names, ports, strict=True)
    ]
    started[-1].await_url(f"http://127.0.0.1:{settings.gateway_port}/readyz")
    started[0].await_url(f"http://127.0.0.1:{ports[0]}/metrics")
    return ports


def _environment(settings: Settings) -> dict[str, str]:
    values = {name: value for name, value in settings.model_dump().items() if value is not None}
    for name, value in values.items():
        if isinstance(value, SecretStr):
            values[name] = value.get_secret_value()
    values |= {"gateway_host": "127.0.0.1", "metrics_host": "127.0.0.1", "shutdown_seconds": 0}
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}


def _shoppers(
    plan: Plan, settings: Settings, sku: str, folder: Path
) -> contextlib.AbstractContextManager[Process]:
    return process(
        [
            "locust",
            *("--locustfile", str(Path(__file__).with_name("locustfile.py"))),
            *("--host", f"http://127.0.0.1:{settings.gateway_port}"),
            *("--headless", "--processes", "2", "--only-summary", "--stop-timeout", "5"),
        ],
        folder / "locust.log",
        {
            "FLASHSALE_LOAD_SKU": sku,
            "FLASHSALE_LOAD_BASE": str(_BASE_RATE),
            "FLASHSALE_LOAD_SPIKE": str(plan.rate),
            "FLASHSALE_LOAD_SECONDS": str(plan.seconds),
            "FLASHSALE_LOAD_HISTORY": str(folder),
        },
    )


async def _judge(
    settings: Settings,
    sku: str,
    watch: Watch,
    took: tuple[dict[str, float], dict[str, float]],
    folder: Path,
) -> Report:
    async with open_ledger(settings.database_url) as ledger:
        sale = next(sale for sale in await ledger.sales() if sale.sku == sku)
        evidence = Evidence(
            history=read_history(folder),
            outcomes=await ledger.outcomes(sku),
            books=await ledger.audit(),
            stock=sale.stock,
            sold=sale.sold,
            drain_rate_limit=settings.drain_rate,
            drain_rate_max_1s=max(sample.released_max_1s for sample in watch.samples),
            calm_service_seconds=took[0],
            service_seconds=took[1],
            journeys=await ledger.effects.journeys(sku),
        )
    return judge(evidence)
