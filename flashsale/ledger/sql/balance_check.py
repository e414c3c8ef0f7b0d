"""The rules that the tables must obey at every commit."""

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ColumnElement

from flashsale.domain.order_states import Status
from flashsale.ledger.balance_report import Books
from flashsale.ledger.sql.tables import orders, outbox, outbox_pruned, sales


async def audit(connection: AsyncConnection) -> Books:
    """Check all rules, on the snapshot of the connection's transaction."""
    broken: dict[str, tuple[str, ...]] = {}
    for name, rules in _RULES.items():
        broken[name] = tuple([row for rule in rules for row in await rule(connection)])
    totals = (
        await connection.execute(
            select(
                func.count(),
                func.coalesce(func.sum(sales.c.sold), 0),
                func.coalesce(
                    func.sum(case((sales.c.sold > sales.c.stock, sales.c.sold - sales.c.stock))), 0
                ),
            ).select_from(sales)
        )
    ).one()
    count = await connection.scalar(select(func.count()).select_from(orders))
    return Books(totals[0], count or 0, totals[1], totals[2], broken)


def _confirmed() -> ColumnElement[bool]:
    return orders.c.status == Status.CONFIRMED


async def _oversold(connection: AsyncConnection) -> list[str]:
    rows = await connection.execute(select(sales).where(sales.c.sold > sales.c.stock))
    return [f"sale {r.sku}: sold {r.sold} of a stock of {r.stock}" for r in rows]


async def _sold_as_confirmed(connection: AsyncConnection) -> list[str]:
    items = (
        select(orders.c.sku, func.sum(orders.c.quantity).label("total"))
        .where(_confirmed())
        .group_by(orders.c.sku)
        .subquery()
    )
    confirmed = func.coalesce(items.c.total, 0)
    rows = await connection.execute(
        select(sales.c.sku, sales.c.sold, confirmed.label("total"))
        .outerjoin(items, items.c.sku == sales.c.sku)
        .where(sales.c.sold != confirmed)
    )
    return [
        f"sale {r.sku}: {r.sold} counted as sold, {r.total} items in confirmed orders" for r in rows
    ]


async def _over_limit(connection: AsyncConnection) -> list[str]:
    items = func.sum(orders.c.quantity)
    rows = await connection.execute(
        select(orders.c.sku, orders.c.customer_id, items.label("total"), sales.c.customer_limit)
        .join(sales, sales.c.sku == orders.c.sku)
        .where(_confirmed(), sales.c.customer_limit.is_not(None))
        .group_by(orders.c.sku, orders.c.customer_id, sales.c.customer_limit)
        .having(items > sales.c.customer_limit)
    )
    return [
        f"sale {r.sku}: customer {r.customer_id!r} holds {r.total}, limit {r.customer_limit}"
        for r in rows
    ]


async def _events(connection: AsyncConnection) -> list[str]:
    topic = "order." + orders.c.status + "." + orders.c.sku
    pruned = (await connection.execute(select(outbox_pruned))).one_or_none()
    before, events = (pruned.before, pruned.events) if pruned is not None else (0.0, 0)
    without = (
        select(orders.c.id, orders.c.status)
        .outerjoin(outbox, outbox.c.order_id == orders.c.id)
        .where(orders.c.status != Status.FAILED, outbox.c.order_id.is_(None))
    )
    missing = await connection.execute(without.where(orders.c.decided_at >= before))
    old = without.where(orders.c.decided_at < before).subquery()
    gone = await connection.scalar(select(func.count()).select_from(old)) or 0
    astray = await connection.execute(
        select(outbox.c.event_id, outbox.c.topic)
        .outerjoin(orders, orders.c.id == outbox.c.order_id)
        .where(
            orders.c.id.is_(None) | (orders.c.status == Status.FAILED) | (outbox.c.topic != topic)
        )
    )
    doubled = await connection.execute(
        select(outbox.c.order_id, func.count().label("events"))
        .group_by(outbox.c.order_id)
        .having(func.count() > 1)
    )
    wrong = [f"order {r.id}: {r.status}, but no event in the outbox" for r in missing]
    wrong += [f"outbox {r.event_id}: {r.topic!r} belongs to no such order" for r in astray]
    wrong += [f"order {r.order_id}: {r.events} events in the outbox" for r in doubled]
    if gone != events:
        wrong.append(f"outbox: {events} old events were pruned, {gone} old orders have none")
    return wrong


async def _unknown_sales(connection: AsyncConnection) -> list[str]:
    rows = await connection.execute(
        select(orders.c.id, orders.c.sku)
        .outerjoin(sales, sales.c.sku == orders.c.sku)
        .where(_confirmed(), sales.c.sku.is_(None))
    )
    return [f"order {r.id}: confirmed for {r.sku}, of which there is no sale" for r in rows]


# The primary key keeps an order from being decided twice. If one is, `books` shows it.
_RULES = {
    "oversold": (_oversold,),
    "over_limit": (_over_limit,),
    "books": (_sold_as_confirmed, _events, _unknown_sales),
}
