"""Statements for many rows whose text never changes, for PostgreSQL and SQLite."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Insert, Table, any_, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

Column = Sequence[Any] | float


async def insert_columns(
    connection: AsyncConnection, table: Table, columns: Mapping[str, Column]
) -> None:
    """Insert rows given by column. A number is the value of its column in every row."""
    if connection.dialect.name == "postgresql":
        lists = frozenset(name for name, column in columns.items() if isinstance(column, Sequence))
        await connection.execute(_insert_unnested(table, tuple(columns), lists), dict(columns))
    else:
        count = max(len(column) for column in columns.values() if isinstance(column, Sequence))
        filled = [c if isinstance(c, Sequence) else [c] * count for c in columns.values()]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*filled, strict=True)]
        await connection.execute(insert(table), rows)


@lru_cache(maxsize=64)
def _insert_unnested(table: Table, names: tuple[str, ...], lists: frozenset[str]) -> Insert:
    # One plan for every batch size, and one parameter for each column, not for each value.
    values = [
        func.unnest(bindparam(name, type_=ARRAY(table.c[name].type)))
        if name in lists
        else bindparam(name, type_=table.c[name].type)
        for name in names
    ]
    return insert(table).from_select(list(names), select(*values))


@lru_cache(maxsize=64)
def among(dialect: str, column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Return the condition that the column's value is in the list parameter of that name."""
    # Cached, and without the list: each expression is a reference cycle, which only the garbage
    # collector frees.
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(column.type)))
    return column.in_(bindparam(name, expanding=True))
