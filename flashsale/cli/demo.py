"""`flashsale demo`: run a whole sale with simulated shoppers."""

from pathlib import Path
from typing import Annotated

import typer

from flashsale.runtime.process import fail


def demo(
    seconds: Annotated[
        int, typer.Option(min=1, max=600, help="Length of the spike, in seconds.")
    ] = 10,
    rate: Annotated[
        int, typer.Option(min=1, max=20_000, help="Orders a second in the spike.")
    ] = 5000,
    stock: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=2**31 - 1,
            help="Items for sale. The default is what the drain sells in 60 % of the spike, so"
            " that first the queue and then the stock is the limit. With `--stock 2000`"
            " everything is sold within a second.",
        ),
    ] = None,
    broker_url: Annotated[
        str | None, typer.Option(help="A real broker, amqp://...; embedded if not given.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(help="A real database, postgresql+asyncpg://...; SQLite if not given."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file, too.")
    ] = None,
    chart: Annotated[Path, typer.Option(help="The file for the chart of the sale.")] = Path(
        "flashsale-demo.png"
    ),
) -> None:
    """Run a whole sale: Locust's spike over HTTP, a live view, and a report.

    Exits with code 1 if a promise was broken: the sale is oversold, an accepted order was lost, or
    the drain was faster than its limit.
    """
    try:
        from loadtest.demo.run import Plan, run_demo
        from loadtest.demo.sale import Spike
    except ImportError as error:
        fail(f"the demo needs the load test's packages ({error.name}): `make demo` installs them")
    overrides = {"broker_url": broker_url, "database_url": database_url}
    plan = Plan(Spike(seconds, rate, stock), json_file, chart)
    raise SystemExit(run_demo(plan, {k: v for k, v in overrides.items() if v}))
