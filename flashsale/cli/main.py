"""`flashsale ...`: the composition root, the only module that imports every process."""

import asyncio
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flashsale import __version__
from flashsale.broker import AccessRefused, BrokerUnavailable, QueueInUse, upgrade_queues
from flashsale.broker.topology_diagram import mermaid, tables, topology_fields
from flashsale.cli import run
from flashsale.cli.advise import advise_on_queue
from flashsale.cli.asyncapi import asyncapi
from flashsale.cli.audit import audit
from flashsale.cli.check import check
from flashsale.cli.controls import drain_app, intake_app
from flashsale.cli.dead_letters import dead_app
from flashsale.cli.demo import demo
from flashsale.cli.json_output import AsJson, OptionalJsonFile, print_json
from flashsale.cli.purchase_passes import make_passes
from flashsale.cli.sale import sale_app
from flashsale.cli.webhook import webhook_app
from flashsale.ledger import Ledger, open_ledger
from flashsale.runtime.process import expected_failures_in_one_line, fail, settings_or_fail
from flashsale.runtime.process import run as run_process
from flashsale.runtime.settings import Settings
from flashsale.runtime.settings_table import all_settings, settings_table
from flashsale.runtime.stack import installed_topology, topology_of

app = typer.Typer(
    help="Accept the orders of a flash sale, drain them into the database at a fixed rate, and"
    " tell every shopper the outcome. Settings come from FLASHSALE_... variables: see `flashsale"
    " settings`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(name="run")(run.run_all)
app.command()(run.gateway)
app.command()(run.consumer)
app.command()(run.services)


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


@app.command()
def migrate() -> None:
    """Create or upgrade the tables, and replace queues of an old type. Safe to repeat.

    Stop consumers and services before an upgrade. Gateways may run.
    """
    settings = settings_or_fail()

    async def upgrade(_: asyncio.Event) -> None:
        async with open_ledger(settings.database_url, settings.database_schema) as ledger:
            print(f"the database is at revision {await _migrate(ledger)}")
        await _upgrade_queues(settings)

    run_process(upgrade)


async def _upgrade_queues(settings: Settings) -> None:
    try:
        replaced = await upgrade_queues(
            settings.broker_url, topology_of(settings) + installed_topology(settings)
        )
    except AccessRefused:
        raise
    except QueueInUse as error:
        # `docker compose up` migrates beside the processes of before. Such a queue goes on working.
        print(
            f"{error}, so no queue was replaced: stop all consumers and services, and run"
            " `flashsale migrate` again",
            file=sys.stderr,
        )
    except BrokerUnavailable as error:
        # The tables need no broker. A queue of an old type works, and each process warns of it.
        print(f"the queues are as they were: {error}", file=sys.stderr)
    else:
        for queue in replaced:
            print(f"queue {queue} is a {settings.queue_type} queue now, with its messages")


async def _migrate(ledger: Ledger) -> str:
    from services.installed import installed_services

    own = [service.tables for service in installed_services().values() if service.tables]
    revision = await ledger.migrate(own)
    for its_tables in own:
        await ledger.effects.create_tables(its_tables)
    return revision


@app.command()
def settings(as_json: AsJson = False) -> None:
    """Print every setting, as a Markdown table."""
    if as_json:
        print_json(all_settings())
    else:
        print(settings_table(), end="")


@app.command()
def topology(
    diagram: Annotated[
        bool, typer.Option("--mermaid", help="Print a Mermaid diagram instead of tables.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the exchanges, queues and bindings that are declared on the broker."""
    if diagram and as_json:
        fail("give --mermaid or --json, not both")
    settings = settings_or_fail()
    with expected_failures_in_one_line():
        declared = topology_of(settings) + installed_topology(settings)
    if diagram:
        print(mermaid(declared), end="")
        return
    if as_json:
        print_json(topology_fields(declared))
        return
    for title, columns, rows in tables(declared):
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        Console().print(table)


app.command()(asyncapi)
app.command("advise")(advise_on_queue)
app.command(cls=OptionalJsonFile)(check)
app.command()(demo)
app.command()(audit)
app.command("pass")(make_passes)
app.add_typer(sale_app, name="sale")
app.add_typer(drain_app, name="drain")
app.add_typer(intake_app, name="intake")
app.add_typer(dead_app, name="dead")
app.add_typer(webhook_app, name="webhook")
