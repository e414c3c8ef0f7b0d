"""Many rows in one statement whose text never changes, on PostgreSQL and on SQLite."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Insert, Table, any_, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_columns(
    connection: AsyncConnection, table: Table, columns: Mapping[str, Sequence[Any]]
) -> None:
    """Insert rows given by column."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_insert_unnested(table, tuple(columns)), dict(columns))
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        await connection.execute(insert(table), rows)


def _insert_unnested(table: Table, names: tuple[str, ...]) -> Insert:
    # One plan for every batch size, and one parameter a column instead of one a value.
    arrays = [func.unnest(bindparam(name, type_=ARRAY(table.c[name].type))) for name in names]
    return insert(table).from_select(list(names), select(*arrays))


def among(
    connection: AsyncConnection, column: ColumnElement[str], values: Iterable[str]
) -> ColumnElement[bool]:
    """Whether the column's value is one of these."""
    if connection.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(values), type_=ARRAY(column.type)))
    return column.in_(list(values))
