"""`flashsale demo`: a whole sale, with its shoppers."""

from pathlib import Path
from typing import Annotated

import typer

from flashsale.runtime.process import fail


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
