"""`python -m loadtest.bench.soak`: run long, print a table and a verdict, write bench-results/."""

import argparse
import json
import sys

import uvloop
from rich.console import Console
from rich.table import Table

from loadtest.bench.results import RESULTS
from loadtest.bench.soak.flat import LEAST_SPIKES, Judged
from loadtest.bench.soak.picture import draw
from loadtest.bench.soak.plan import SKIPPED, Plan
from loadtest.bench.soak.run import Soaked, soak
from loadtest.bench.soak.shop import open_shop

_LEAST_MINUTES = SKIPPED + LEAST_SPIKES


def main() -> None:
    """Exit code 1 if something grew or a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10, help="a spike each (default: 10)")
    parser.add_argument("--workers", type=int, default=1, help="of the gateway (default: 1)")
    arguments = parser.parse_args()
    if arguments.minutes < _LEAST_MINUTES:
        parser.error(f"--minutes: {_LEAST_MINUTES} at the least, or nothing could be compared")
    plan = Plan(minutes=arguments.minutes)
    console = Console()
    with open_shop(plan, arguments.workers) as shop:
        soaked = uvloop.run(soak(shop, plan, console.print))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "soak.json").write_text(json.dumps(soaked.figures(), indent=2) + "\n")
    draw(soaked.samples, soaked.starts, plan.minute, RESULTS / "soak.png")
    print_verdict(soaked, console)
    sys.exit(0 if soaked.passed else 1)


def _verdict(one: Judged) -> str:
    if one.bound is None:
        return "not judged"
    return "[green]flat[/]" if one.flat else "[bold red]grows[/]"


def print_verdict(soaked: Soaked, console: Console) -> None:
    """Print what was judged, and what came of it."""
    table = Table("process", "what", "first", "last", "a spike", "at most", "")
    for column in table.columns[2:6]:
        column.justify = "right"
    for one in soaked.judged:
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
    console.print(f"{soaked.sent:,} orders, {soaked.accepted:,} accepted; {soaked.statuses}")
    for words in soaked.broken:
        console.print(f"[bold red]broken:[/] {words}")
    if soaked.passed:
        console.print("[bold green]Everything is flat, and every promise was kept.[/]")


if __name__ == "__main__":
    main()
