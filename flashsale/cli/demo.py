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
    holds: Annotated[
        bool,
        typer.Option(
            "--holds",
            help="An order holds its item for 10 s until it is paid: some shoppers pay, some fail"
            " to, some leave, some are late, and others wait in line for what is freed. Takes a"
            " minute longer. By default there are fewer items: what the drain sells in 20 % of the"
            " spike.",
        ),
    ] = False,
    sink: Annotated[
        bool,
        typer.Option(
            "--sink",
            help="Show what the gateway is for: the same spike twice at the order service of a"
            " shop, whose database falls over above the rate of the drain, without and with the"
            " gateway in front. By a simpler load generator, without a live view.",
        ),
    ] = False,
) -> None:
    """Run a whole sale: Locust's spike over HTTP, a live view, and a report.

    Exits with code 1 if a promise was broken: the sale is oversold, an accepted order was lost, or
    the drain was faster than its limit.
    """
    try:
        from loadtest.demo.run import Plan, run_demo
        from loadtest.demo.sale import Spike
        from loadtest.demo.sink.run import run_sink_demo
    except ImportError as error:
        fail(f"the demo needs the load test's packages ({error.name}): `make demo` installs them")
    if sink and holds:
        fail("--sink and --holds: choose one, as an order service holds nothing")
    overrides = {"broker_url": broker_url, "database_url": database_url}
    plan = Plan(Spike(seconds, rate, stock, holds), json_file, chart)
    run = run_sink_demo if sink else run_demo
    raise SystemExit(run(plan, {k: v for k, v in overrides.items() if v}))
