"""What the holds need of the drain: which have ended, and who in line can be served."""

from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Integer, Select, bindparam, case, func, literal_column, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.order_states import Status
from flashsale.ledger.hold_port import Due
from flashsale.ledger.sql.tables import orders, sales

# Written out, so that a plan for any value knows the partial indexes.
HELD = text(f"orders.status = '{Status.HELD}'")
WAITING = text(f"orders.status = '{Status.WAITLISTED}'")

by_end = orders.c.expires_at, orders.c.id
"""The order in which holds end, which is that of their index."""

free = sales.c.stock - sales.c.sold - sales.c.held
"""The items of a sale that are neither sold nor held."""

_head = (
    select(orders.c.quantity)
    .where(WAITING, orders.c.sku == sales.c.sku)
    .order_by(orders.c.place)
    .limit(1)
    .correlate(sales)
    .scalar_subquery()
)

may_serve = (sales.c.waiting > 0) & or_(sales.c.held == 0, free > 0)
"""Whether the waiting list of a sale may move. Its head may need more than is free."""


class _Statements(NamedTuple):
    ended: Select[Any]
    next_end: Select[Any]
    lines: Select[Any]


@lru_cache(maxsize=1)
def _statements() -> _Statements:
    ended = (
        select(literal_column("1").label("one"))
        .select_from(orders)
        .where(HELD, orders.c.expires_at <= bindparam("ended_by"))
        .order_by(*by_end)
        .limit(bindparam("most", type_=Integer))
        .subquery()
    )
    return _Statements(
        select(func.count()).select_from(ended),
        select(func.min(orders.c.expires_at)).where(HELD),
        select(
            # Those behind the head may need more than is left, so this is the most that can be.
            func.coalesce(
                func.sum(
                    case(
                        (may_serve & or_(sales.c.held == 0, _head <= free), sales.c.waiting),
                        else_=0,
                    )
                ),
                0,
            ).label("movable"),
            func.count().label("holding"),
        ).where(or_(sales.c.hold_seconds.is_not(None), sales.c.held > 0, sales.c.waiting > 0)),
    )


async def read_in_order(connection: AsyncConnection) -> None:
    """Have this transaction read the first rows of an index, not all of them to sort them.

    PostgreSQL takes a table for small that was empty when it last looked, and sorts all that is
    due.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL enable_sort = off"))


async def find_due(connection: AsyncConnection, now: float, most: int) -> Due:
    """Return what the holds need at Unix time `now`; count up to `most` changes.

    Without a sale that has holds it costs one statement, on the table of sales.
    """
    statements = _statements()
    lines = (await connection.execute(statements.lines)).one()
    if not lines.holding:
        return Due()
    await read_in_order(connection)
    ended_by = {"ended_by": now - GRACE_SECONDS, "most": most}
    ended = (await connection.execute(statements.ended, ended_by)).scalar_one()
    next_end = (await connection.execute(statements.next_end)).scalar_one()
    return Due(
        min(most, ended + lines.movable),
        None if next_end is None else next_end + GRACE_SECONDS,
        holds=True,
    )
