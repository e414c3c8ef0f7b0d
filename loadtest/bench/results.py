"""The folder for the figures of benchmarks, and a table of them."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path("bench-results")


def print_figures(figures: Mapping[str, float]) -> None:
    """Print the figures of a benchmark as a table."""
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)
