"""A batch of the drain: plain sales by `flashsale.ledger.sql.sell`, sales with holds by their rule.

A batch of which no sale has holds, and that has nothing due, costs the same statements as before.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Integer, Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.holds.rule import Advanced, Allowance, Books, advance
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, Verdict
from flashsale.ledger.sql.bulk import Column, among
from flashsale.ledger.sql.holds.changes import change_orders, facts_of, set_counts
from flashsale.ledger.sql.holds.due import HELD, WAITING, by_end, may_serve, read_in_order
from flashsale.ledger.sql.holds.locking import OPEN_ORDERS
from flashsale.ledger.sql.holds.tombstones import fill_tombstones
from flashsale.ledger.sql.sell import (
    Steps,
    as_outcome,
    bought_before,
    decided_before,
    insert_events,
    insert_orders,
    lock_terms,
    reopen,
    sell,
)
from flashsale.ledger.sql.tables import orders, sales


async def decide_batch(
    connection: AsyncConnection,
    batch: Sequence[Order],
    now: float,
    replayed: Sequence[str],
    traceparents: Mapping[str, str] | None,
    allowance: Allowance,
    steps: Steps,
) -> Verdict:
    """Decide a batch inside the connection's transaction, at Unix time `now`.

    A failed order is decided if it is in `replayed`. `allowance` is how many other orders may
    change: holds that end, and orders that are served. Raises `MoreChanges` and `LedgerRefused`.
    """
    await reopen(connection, replayed)
    skus = {order.sku for order in batch}
    if allowance.due:
        skus |= await _due_skus(connection, now, allowance.due)
    terms = await lock_terms(connection, skus)
    steps.done("lock")
    decided = await decided_before(connection, [order.id for order in batch]) if batch else {}
    if decided:
        decided = await fill_tombstones(connection, batch, decided, now)
    holding = {sku: sale for sku, sale in terms.items() if sale.has_holds}
    if not holding:
        return await sell(connection, batch, now, traceparents, terms, decided, steps)
    plain = {sku: sale for sku, sale in terms.items() if sku not in holding}
    others = [order for order in batch if order.sku not in holding]
    verdict = Verdict([], list(plain.values()))
    if others:
        verdict = await sell(connection, others, now, traceparents, plain, decided, steps)
    theirs = [order for order in batch if order.sku in holding]
    books = await _read_books(connection, theirs, holding, now, allowance.due)
    steps.done("read")
    advanced = advance(theirs, books, decided, now, allowance)
    await _write(connection, advanced, holding, now, traceparents)
    steps.done("write")
    known = {OrderId(o.order.id): o for o in verdict.outcomes} | decided | dict(advanced.new)
    return Verdict(
        [known[OrderId(order.id)] for order in batch],
        [*verdict.sales, *advanced.sales],
        list(advanced.moved),
    )


async def _write(
    connection: AsyncConnection,
    advanced: Advanced,
    before: Mapping[str, Sale],
    now: float,
    traceparents: Mapping[str, str] | None,
) -> None:
    new = list(advanced.new.values())
    if new:
        more: dict[str, Column] = {"expires_at": [outcome.expires_at for outcome in new]}
        # Few batches need these. What is not written costs nothing, and is null.
        if any(outcome.place for outcome in new):
            more["place"] = [outcome.place for outcome in new]
        if any(outcome.extended for outcome in new):
            more["extended"] = [outcome.extended for outcome in new]
        await insert_orders(connection, new, now, more)
        await insert_events(connection, new, now, traceparents, [facts_of(o) for o in new])
    await change_orders(connection, advanced.moved, now)
    await set_counts(connection, before, advanced.sales)


class _Statements(NamedTuple):
    ended_skus: Select[Any]
    served_skus: Select[Any]
    ended: Select[Any]
    line: Select[Any]
    open_orders: Select[Any]


@lru_cache(maxsize=2)
def _of_dialect(dialect: str) -> _Statements:
    ended = orders.c.expires_at <= bindparam("ended_by")
    most = bindparam("most", type_=Integer)
    return _Statements(
        select(orders.c.sku).where(HELD, ended).order_by(*by_end).limit(most),
        select(sales.c.sku).where(may_serve),
        select(orders).where(HELD, ended).order_by(*by_end).limit(most),
        select(orders)
        .where(WAITING, orders.c.sku == bindparam("sku"))
        .order_by(orders.c.place)
        .limit(most),
        select(orders).where(
            OPEN_ORDERS,
            among(dialect, orders.c.sku, "skus"),
            among(dialect, orders.c.customer_id, "customers"),
        ),
    )


def _statements(connection: AsyncConnection) -> _Statements:
    return _of_dialect(connection.dialect.name)


def _ended(now: float, most: int) -> dict[str, Any]:
    return {"ended_by": now - GRACE_SECONDS, "most": most}


async def _due_skus(connection: AsyncConnection, now: float, most: int) -> set[str]:
    """Return the sales with something due. Nothing is locked yet, so it may have changed since."""
    await read_in_order(connection)
    statements = _statements(connection)
    ended = await connection.execute(statements.ended_skus, _ended(now, most))
    served = await connection.execute(statements.served_skus)
    return {*ended.scalars(), *served.scalars()}


async def _read_books(
    connection: AsyncConnection,
    batch: Sequence[Order],
    holding: Mapping[str, Sale],
    now: float,
    most: int,
) -> Books:
    """Read what the rule needs. The sales are locked, so nobody else changes their orders."""
    statements = _statements(connection)
    due: list[Outcome] = []
    lines: list[Outcome] = []
    if most:
        # By the index alone. What ends in a sale that is not locked waits for the next batch.
        rows = await connection.execute(statements.ended, _ended(now, most))
        due = [as_outcome(row) for row in rows if row.sku in holding]
        for sku, sale in holding.items():
            if sale.waiting:
                line = await connection.execute(statements.line, {"sku": sku, "most": most + 1})
                lines += [as_outcome(row) for row in line]
    open_orders: list[Outcome] = []
    if batch:
        mine = await connection.execute(
            statements.open_orders,
            {
                "skus": sorted(holding),
                "customers": sorted({order.customer_id for order in batch}),
            },
        )
        open_orders = [as_outcome(row) for row in mine]
    bought = await bought_before(connection, batch, holding)
    return Books(holding, due, lines, open_orders, bought)
