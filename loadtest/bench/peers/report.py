"""Print the figures as Markdown, ready for docs/benchmarks.md."""

from collections.abc import Mapping
from typing import IO

from rich import box
from rich.console import Console
from rich.table import Table

from loadtest.bench.peers.contestants import CONTESTANTS, GATEWAY

_WIDTH = 150  # Markdown tables can't break a row
_ROWS = {
    "confirmed orders/s, 64 connections": "accepted_per_second",
    "its p50, ms": "p50_ms",
    "its p99, ms": "p99_ms",
    "CPU of the process an order, µs": "cpu_us_per_order",
    "5,000/s offered: accepted a second": "accepted_per_second_at_5000",
    "its p50, ms from the moment due": "p50_ms_at_5000",
    "its p99, ms from the moment due": "p99_ms_at_5000",
    "its p99.9, ms from the moment due": "p99_9_ms_at_5000",
    "drained without a limit, orders/s": "drain_unpaced_per_second",
    "drained at 2,000/s: most in any 1 s": "drain_worst_1s",
    "fewest in any 1 s": "drain_least_1s",
    "most in any 100 ms": "drain_worst_100ms",
    "fewest in any 100 ms": "drain_least_100ms",
}


def print_report(figures: Mapping[str, float], ran_on: str, file: IO[str] | None = None) -> None:
    """Print a table of all contestants, the rates of refusals, and the machine."""
    console = Console(file=file, width=_WIDTH)
    table = Table("", box=box.MARKDOWN)
    for one in CONTESTANTS:
        table.add_column(one.title, justify="right")
    ratios = [figures.get(f"ratio_to_{one.name}") for one in CONTESTANTS]
    table.add_row("ours by it, confirmed orders/s", *map(_cell, ratios))
    for words, name in _ROWS.items():
        table.add_row(words, *(_cell(figures.get(one.prefix + name)) for one in CONTESTANTS))
    console.print(table)
    for words, name in (("sold out (409)", "sold_out"), ("queue full (503)", "queue_full")):
        console.print(
            f"{GATEWAY.title} refuses: {words} {figures[f'{name}_per_second']:,}/s,"
            f" {figures[f'{name}_ratio_to_bare']} of the bare handler",
            highlight=False,
        )
    console.print(ran_on, highlight=False, soft_wrap=True)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,}"
