"""Lock the sales of some orders, and read the orders then: nobody else changes them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Row, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_states import OPEN_IN_LEDGER, Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.operators.lock_waits import limit_waits
from flashsale.ledger.sql.sell import as_outcome, as_sale
from flashsale.ledger.sql.tables import orders, sales

CONFIRMED = text(f"orders.status = '{Status.CONFIRMED}'")
OPEN_ORDERS = text(f"orders.status IN {tuple(map(str, OPEN_IN_LEDGER))}")
"""Written out, so that a plan for any value knows the partial indexes."""


@dataclass(frozen=True)
class Locked:
    """Orders whose sales are locked, and these sales."""

    outcomes: dict[str, Outcome]
    sales: dict[str, Sale]
    decided_at: Mapping[str, float] = field(default_factory=dict)
    """When each order got its state, by order id, in Unix seconds."""


async def lock_orders(
    connection: AsyncConnection, order_ids: Collection[str], skus: Collection[str] = ()
) -> Locked:
    """Lock the sales of these orders and `skus`, in their order; return what is in the tables.

    A batch of the drain locks sales in the same order, so none waits for another in a circle. An
    order that is not decided is left out.
    """
    await limit_waits(connection)
    of_orders = {row.sku for row in await _rows(connection, order_ids) if row.sku}
    wanted = sorted({*of_orders, *skus})
    locked = await connection.execute(
        select(sales)
        .where(among(connection.dialect.name, sales.c.sku, "skus"))
        .order_by(sales.c.sku)
        .with_for_update(),
        {"skus": wanted},
    )
    found = {row.sku: as_sale(row) for row in locked}
    # An order never changes its sku, once it has one. One that was decided between the two reads,
    # and whose sale is not locked, is as unknown as it was at the first.
    rows = [r for r in await _rows(connection, order_ids) if r.sku is None or r.sku in wanted]
    return Locked(
        {row.id: as_outcome(row) for row in rows},
        found,
        {row.id: row.decided_at for row in rows},
    )


async def _rows(
    connection: AsyncConnection, order_ids: Collection[str]
) -> list[Row[tuple[object, ...]]]:
    rows = await connection.execute(
        select(orders).where(among(connection.dialect.name, orders.c.id, "ids")),
        {"ids": sorted(order_ids)},
    )
    return list(rows)


async def held_by_customer(connection: AsyncConnection, sku: str, customer_id: str) -> int:
    """Return the items of a sale that a customer has bought, holds or waits for."""
    mine = [orders.c.sku == sku, orders.c.customer_id == customer_id]
    items = func.coalesce(func.sum(orders.c.quantity), 0)
    # Each by the partial index that has it.
    bought = await connection.scalar(select(items).where(CONFIRMED, *mine))
    open_items = await connection.scalar(select(items).where(OPEN_ORDERS, *mine))
    return int(bought or 0) + int(open_items or 0)
