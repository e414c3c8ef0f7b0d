"""The figures: rows that differ in one number, as tables for people and as flat keys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.table import Table

TITLES = {
    "workers": "Workers of one gateway",
    "gateways": "Gateways on one broker",
    "backlog": "Orders that wait",
    "skus": "Skus in one sale",
    "tenth": "Memory while orders pass through",
}


@dataclass(frozen=True)
class Row:
    """Figures by name, measured with a `number` of workers, gateways, ..."""

    what: str
    number: int
    values: Mapping[str, float]


def flat(rows: Iterable[Row]) -> dict[str, float]:
    """All of them as `NAME_WHAT_NUMBER`, such as `accepted_gateways_8`."""
    return {
        f"{name}_{row.what}_{row.number}": value
        for row in rows
        for name, value in row.values.items()
    }


def tables(rows: Iterable[Row]) -> list[Table]:
    """A table for each thing that was varied."""
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
    """From a fifth of the run on: the highest of the tenths after it, less that of it."""
    return round(max(levels[2:]) - levels[1], 1)
