"""The figures: rows that differ in one parameter, as tables and as flat keys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.table import Table

TITLES = {
    "workers": "Workers of one gateway",
    "gateways": "Gateways on one broker",
    "backlog": "Orders that wait",
    "skus": "Skus in one sale",
    "connections": "Open connections, while 2,000 new ones a second come",
    "tenth": "Memory while orders pass through",
}


@dataclass(frozen=True)
class Row:
    """Figures by name, measured with a `number` of what was varied: workers, gateways, ..."""

    what: str
    number: int
    values: Mapping[str, float]


def flat(rows: Iterable[Row]) -> dict[str, float]:
    """Return the figures under keys `NAME_WHAT_NUMBER`, such as `accepted_gateways_8`."""
    return {
        f"{name}_{row.what}_{row.number}": value
        for row in rows
        for name, value in row.values.items()
    }


def tables(rows: Iterable[Row]) -> list[Table]:
    """Return a table for each parameter that was varied."""
    found = []
    for what, group in groupby(rows, key=lambda row: row.what):
        same = list(group)
        table = Table(what, *same[0].values, title=TITLES[what], title_justify="left")
        for column in table.columns:
            column.justify = "right"
        for row in same:
            table.add_row(f"{row.number:,}", *(f"{value:,}" for value in row.values.values()))
        found.append(table)
    return found


def growth(levels: Sequence[float]) -> float:
    """Return the highest level after the second tenth of the run, minus the level at it."""
    return round(max(levels[2:]) - levels[1], 1)
