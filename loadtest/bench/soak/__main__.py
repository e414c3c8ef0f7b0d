"""`python -m loadtest.bench.soak`: run, print a table and a verdict, write bench-results/."""

import argparse
import json
import sys

import uvloop
from rich.console import Console
from rich.table import Table

from loadtest.bench.results import RESULTS
from loadtest.bench.soak.chart import draw
from loadtest.bench.soak.growth import LEAST_SPIKES, Trend
from loadtest.bench.soak.plan import SKIPPED, Plan
from loadtest.bench.soak.run import SoakResult, soak
from loadtest.bench.soak.shop import open_shop

_LEAST_MINUTES = SKIPPED + LEAST_SPIKES


def main() -> None:
    """Run the soak test. Exit code 1 if a resource grew or a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10, help="one spike each (default: 10)")
    parser.add_argument("--workers", type=int, default=1, help="gateway workers (default: 1)")
    arguments = parser.parse_args()
    if arguments.minutes < _LEAST_MINUTES:
        parser.error(f"--minutes: must be at least {_LEAST_MINUTES}, to compare minutes")
    plan = Plan(minutes=arguments.minutes)
    console = Console()
    with open_shop(plan, arguments.workers) as shop:
        result = uvloop.run(soak(shop, plan, console.print))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "soak.json").write_text(json.dumps(result.figures(), indent=2) + "\n")
    draw(result.samples, result.starts, plan.minute, RESULTS / "soak.png")
    print_verdict(result, console)
    sys.exit(0 if result.passed else 1)


def _verdict(one: Trend) -> str:
    if one.bound is None:
        return "not judged"
    return "[green]flat[/]" if one.flat else "[bold red]grows[/]"


def print_verdict(result: SoakResult, console: Console) -> None:
    """Print the trend of each resource, and the verdict."""
    table = Table("process", "what", "first", "last", "a spike", "at most", "")
    for column in table.columns[2:6]:
        column.justify = "right"
    for one in result.judged:
        if not one.levels:
            continue
        table.add_row(
            one.process,
            one.what,
            f"{one.levels[0]:,.1f}",
            f"{one.levels[-1]:,.1f}",
            "" if one.slope is None else f"{one.slope:+.2f}",
            "" if one.bound is None else f"{one.bound:g}",
            _verdict(one),
        )
    console.print(table)
    console.print(f"{result.sent:,} orders, {result.accepted:,} accepted; {result.statuses}")
    for words in result.broken:
        console.print(f"[bold red]broken:[/] {words}")
    if result.passed:
        console.print("[bold green]Everything is flat, and every promise was kept.[/]")


if __name__ == "__main__":
    main()
