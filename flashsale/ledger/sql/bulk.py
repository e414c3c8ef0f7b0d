"""Statements for many rows whose text never changes, for PostgreSQL and SQLite."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Insert,
    Table,
    Update,
    any_,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy.ext.asyncio import AsyncConnection

Column = Sequence[Any] | float

Computed = tuple[tuple[str, ColumnElement[Any]], ...]
"""Columns by name, and what they are computed from in the same row."""


async def insert_columns(
    connection: AsyncConnection, table: Table, columns: Mapping[str, Column]
) -> None:
    """Insert rows given by column. A number is the value of its column in every row."""
    if connection.dialect.name == "postgresql":
        given = {name: _one_if_same(table.c[name], column) for name, column in columns.items()}
        lists = frozenset(name for name, column in given.items() if isinstance(column, list))
        await connection.execute(_insert_unnested(table, tuple(given), lists), given)
    else:
        count = max(len(column) for column in columns.values() if isinstance(column, Sequence))
        filled = [c if isinstance(c, Sequence) else [c] * count for c in columns.values()]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*filled, strict=True)]
        await connection.execute(insert(table), rows)


def _one_if_same(column: SqlColumn[Any], values: Column) -> Any:
    """Return the value that all rows have, else the list: the driver looks at each of its elements.

    The values of a key differ. So its list, which says how many rows there are, always stays one.
    """
    if not isinstance(values, Sequence):
        return values
    same = not column.primary_key and values and values.count(values[0]) == len(values)
    return values[0] if same else list(values)


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


async def update_columns(
    connection: AsyncConnection,
    table: Table,
    ids: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    also: Computed = (),
) -> None:
    """Set columns of the rows of these ids, each given by column as the ids are.

    `also` are columns that are computed from what is in the row.
    """
    if connection.dialect.name == "postgresql":
        statement = _update_unnested(table, tuple(columns), also)
        await connection.execute(statement, {"ids": ids, **columns})
    else:
        keys = [f"new_{name}" for name in columns]
        rows = zip(ids, *columns.values(), strict=True)
        await connection.execute(
            _update_one(table, tuple(columns), also),
            [dict(zip(("ids", *keys), row, strict=True)) for row in rows],
        )


@lru_cache(maxsize=64)
def _update_unnested(table: Table, names: tuple[str, ...], also: Computed) -> Update:
    given = select(
        func.unnest(bindparam("ids", type_=ARRAY(table.c.id.type))).label("id"),
        *(
            func.unnest(bindparam(name, type_=ARRAY(table.c[name].type))).label(name)
            for name in names
        ),
    ).subquery("given")
    return (
        update(table)
        .where(table.c.id == given.c.id)
        .values({name: given.c[name] for name in names} | dict(also))
    )


@lru_cache(maxsize=64)
def _update_one(table: Table, names: tuple[str, ...], also: Computed) -> Update:
    return (
        update(table)
        .where(table.c.id == bindparam("ids"))
        .values({name: bindparam(f"new_{name}") for name in names} | dict(also))
    )


@lru_cache(maxsize=64)
def among(dialect: str, column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Return the condition that the column's value is in the list parameter of that name."""
    # Cached, and without the list: each expression is a reference cycle, which only the garbage
    # collector frees.
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(column.type)))
    return column.in_(bindparam(name, expanding=True))
