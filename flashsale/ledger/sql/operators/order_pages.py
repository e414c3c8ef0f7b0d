"""Pages of decided orders: each begins where the one before ended, whatever was added since."""

from dataclasses import fields

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_states import DeliveryState, Status
from flashsale.ledger.order_pages import DecidedOrder, OrderQuery
from flashsale.ledger.sql.tables import orders


async def decided_orders(connection: AsyncConnection, query: OrderQuery) -> list[DecidedOrder]:
    """Return the orders that the query asks for, the newest decision first.

    Confirmed orders of a sale or of one of its customers are found by their index. Other queries
    read all orders: an index for them would slow down each order of a sale.
    """
    asked = select(*(orders.c[field.name] for field in fields(DecidedOrder))).order_by(
        orders.c.decided_at.desc(), orders.c.id.desc()
    )
    if query.sku is not None:
        asked = asked.where(orders.c.sku == query.sku)
    if query.customer_id is not None:
        asked = asked.where(orders.c.customer_id == query.customer_id)
    if query.status is not None:
        # Written out, so that a plan for any value still knows the partial index.
        asked = asked.where(orders.c.status == text(f"'{query.status.value}'"))
    if query.after is not None:
        asked = asked.where(tuple_(orders.c.decided_at, orders.c.id) < tuple_(*query.after))
    rows = await connection.execute(asked.limit(query.limit))
    return [
        DecidedOrder(
            **{
                **row._mapping,
                "status": Status(row.status),
                "delivery": row.delivery and DeliveryState(row.delivery),
            }
        )
        for row in rows
    ]
