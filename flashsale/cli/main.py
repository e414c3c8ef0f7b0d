"""`flashsale ...`: the one place that knows, and starts, every process."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import structlog
import typer
from rich.console import Console
from rich.table import Table

from flashsale import __version__
from flashsale.broker import Topology
from flashsale.broker.topology_diagram import mermaid, tables
from flashsale.cli.check import check_history
from flashsale.cli.dead import dead_app
from flashsale.cli.ledger_command import with_ledger
from flashsale.cli.sale import sale_app
from flashsale.ledger import Ledger
from flashsale.observability.metrics import ConsumerMetrics, GatewayMetrics, ServicesMetrics
from flashsale.observability.monitoring import monitored
from flashsale.runtime.process import fail, run, settings_or_fail
from flashsale.runtime.settings import (
    Settings,
    SettingsError,
    settings_table,
)
from flashsale.runtime.stack import Stack, open_stack, topology_of

if TYPE_CHECKING:
    from services.service import AnyService

log = structlog.get_logger()

T = TypeVar("T")

app = typer.Typer(
    help="Take the flood of a flash sale, drain it into the database at a fixed rate, and tell"
    " every shopper the truth. Settings come from FLASHSALE_... variables: see `flashsale"
    " settings`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(sale_app, name="sale")
app.add_typer(dead_app, name="dead")


def main() -> None:
    """Run the command line."""
    app()


def _print_version(asked: bool) -> None:
    if asked:
        print(f"flashsale {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


@app.command(name="run")
def run_command() -> None:
    """Run everything in one process: the way to try it out, with no broker to install."""
    settings = settings_or_fail()
    if settings.gateway_workers > 1:
        workers = f"FLASHSALE_GATEWAY_WORKERS={settings.gateway_workers}"
        fail(f"{workers}: `flashsale run` is one process; `flashsale gateway` can be several")
    run(lambda stop: _run_all(settings, stop))


@app.command()
def gateway() -> None:
    """Run a gateway: it takes orders over HTTP and puts them in the queue."""
    from gateway.app import run_gateway

    settings = settings_or_fail()
    run(lambda stop: run_gateway(settings, stop))


@app.command()
def consumer() -> None:
    """Run a consumer: it drains the queue into the database. Further ones stand by."""
    from consumer.app import run_consumer

    settings = settings_or_fail()
    declared = _services_topology(settings, _chosen(settings))
    run(lambda stop: run_consumer(settings, declared, stop))


@app.command()
def services(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Which ones. All of FLASHSALE_SERVICES if none."),
    ] = None,
) -> None:
    """Run what happens after a sale: mail, loyalty, ranking, and any other that is installed."""
    from services.app import run_services

    settings = settings_or_fail()
    chosen = _chosen(settings, names or ())
    if not chosen:
        fail("FLASHSALE_SERVICES=none: there is no service to run")
    run(lambda stop: run_services(settings, chosen, stop))


@app.command()
def migrate() -> None:
    """Create the tables, or bring them to this version. Does no harm when they are."""
    print(f"the database is at revision {with_ledger(Ledger.migrate)}")


@app.command()
def settings() -> None:
    """Print every setting, as a Markdown table."""
    print(settings_table(), end="")


@app.command()
def topology(
    diagram: Annotated[
        bool, typer.Option("--mermaid", help="As a Mermaid diagram instead of tables.")
    ] = False,
) -> None:
    """Print what is declared on the broker, from the data that declares it."""
    settings = settings_or_fail()
    declared = topology_of(settings) + _services_topology(settings, _chosen(settings))
    if diagram:
        print(mermaid(declared), end="")
        return
    for title, columns, rows in tables(declared):
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        Console().print(table)


@app.command()
def check(
    history: Annotated[
        list[Path] | None,
        typer.Option(
            help="What was seen of the sale: a file of JSON lines, or a folder of such. Can be"
            " given several times. With it every promise is judged, and not the books alone."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the verdict on a history there, too.")
    ] = None,
) -> None:
    """Do the books balance? Exit code 1, and the rows that are wrong, if they do not."""
    if history:
        check_history(history, json_file)
        return
    if json_file is not None:
        fail("--json is for the verdict on a history: give --history, too")

    async def audit(ledger: Ledger) -> Any:
        await ledger.verify_schema()
        return await ledger.audit()

    books = with_ledger(audit)
    for row in books.wrong:
        print(f"wrong: {row}")
    words = f"{books.sales} sales, {books.orders} orders, {books.sold} items sold"
    if books.wrong:
        fail(f"the books do not balance ({words}): {len(books.wrong)} wrong rows")
    print(f"the books balance: {words}, {books.oversold} oversold")


@app.command()
def demo(
    seconds: Annotated[int, typer.Option(min=1, max=600, help="Length of the spike.")] = 10,
    rate: Annotated[int, typer.Option(min=1, max=20_000, help="Orders a second in it.")] = 5000,
    stock: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=2**31 - 1,
            help="Items for sale. Unless given, as many as are drained in six tenths of the"
            " spike, so that first the queue is the limit and then the stock. With"
            " `--stock 2000` everything is sold within a second.",
        ),
    ] = None,
    broker_url: Annotated[
        str | None, typer.Option(help="A real broker, amqp://...; in this process if not given.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(help="A real database, postgresql+asyncpg://...; a file if not given."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report there, too.")
    ] = None,
    chart: Annotated[Path, typer.Option(help="Where to draw the sale.")] = Path(
        "flashsale-demo.png"
    ),
) -> None:
    """See a whole sale: its spike over HTTP by Locust, a live view, and a report.

    Exits with code 1 if a promise was broken: sold more than there was, lost an order that was
    taken, drained faster than the limit.
    """
    try:
        from loadtest.demo.run import Plan, run_demo
        from loadtest.demo.sale import Spike
    except ImportError as error:
        fail(f"the demo needs the load test's packages ({error.name}): `make demo` installs them")
    overrides = {"broker_url": broker_url, "database_url": database_url}
    plan = Plan(Spike(seconds, rate, stock), json_file, chart)
    raise SystemExit(run_demo(plan, {k: v for k, v in overrides.items() if v}))


async def _run_all(settings: Settings, stop: asyncio.Event) -> None:
    from consumer.app import run_drain
    from gateway import app as gateway_app
    from services.app import run_workers

    metrics = GatewayMetrics()
    drain_metrics = ConsumerMetrics(metrics.registry)
    services_metrics = ServicesMetrics(metrics.registry)
    port = gateway_app.METRICS_PORT if settings.metrics_port is None else settings.metrics_port
    chosen = _chosen(settings)
    declared = _services_topology(settings, chosen)
    stop_drain, stop_services = asyncio.Event(), asyncio.Event()
    async with (
        monitored(metrics.registry, settings.metrics_host, port),
        open_stack(settings) as stack,
        asyncio.TaskGroup() as tasks,
    ):
        if settings.embedded:
            log.warning("the embedded broker's queued orders do not survive this process")
            # What its services have not done is still in the outbox, and comes again.
            if chosen:
                await stack.ledger.outbox.send_again(len(chosen))
        secret = await gateway_app.gateway_secret(settings, stack)
        web = gateway_app.create_app(settings, stack, secret, metrics)
        draining = tasks.create_task(
            run_drain(settings, stack, declared, drain_metrics, stop_drain)
        )
        tasks.create_task(run_workers(settings, stack, chosen, services_metrics, stop_services))
        async with gateway_app.serving(web):
            await stop.wait()
            await gateway_app.retire(web)
        # Nothing new comes in now. What was taken is decided before its queue is gone.
        if settings.embedded:
            await _until_empty(stack, stack.topology.orders)
        stop_drain.set()
        await draining
        stop_services.set()


async def _until_empty(stack: Stack, queue: str) -> None:
    while (await stack.broker.depth(queue)).ready:  # noqa: ASYNC110 a count
        await asyncio.sleep(0.05)


def _chosen(settings: Settings, names: Collection[str] = ()) -> list["AnyService"]:
    from services.installed import chosen_services

    try:
        return chosen_services(settings.services, names)
    except SettingsError as error:
        fail(str(error))


def _services_topology(settings: Settings, chosen: Sequence["AnyService"]) -> Topology:
    from services.app import declared_by

    return declared_by(settings, chosen)
