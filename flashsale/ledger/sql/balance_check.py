"""The rules that the tables must obey at every commit."""

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ColumnElement

from flashsale.domain.order_states import OPEN_IN_LEDGER, DeliveryState, Status
from flashsale.ledger.balance_report import Books
from flashsale.ledger.sql.holds.balance import (
    counted_as_held,
    doubled_events,
    ended_once,
    events_of,
    own_topic,
    passed_over,
    topic_of,
)
from flashsale.ledger.sql.holds.payment_balance import never_held, paid_once, settled
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
                func.coalesce(func.sum(sales.c.held), 0),
                func.coalesce(func.sum(sales.c.waiting), 0),
                func.coalesce(
                    func.sum(case((_taken() > sales.c.stock, _taken() - sales.c.stock))), 0
                ),
            ).select_from(sales)
        )
    ).one()
    count = await connection.scalar(select(func.count()).select_from(orders))
    deliveries = {state: 0 for state in DeliveryState} | {
        DeliveryState(state): number
        for state, number in await connection.execute(
            select(orders.c.delivery, func.count())
            .where(orders.c.delivery.is_not(None))
            .group_by(orders.c.delivery)
        )
    }
    return Books(
        *(totals[0], count or 0, totals[1], totals[4], broken),
        held=totals[2],
        waiting=totals[3],
        deliveries_pending=deliveries[DeliveryState.PENDING],
        deliveries_failed=deliveries[DeliveryState.FAILED],
    )


def _taken() -> ColumnElement[int]:
    return sales.c.sold + sales.c.held


def _confirmed() -> ColumnElement[bool]:
    return orders.c.status == Status.CONFIRMED


async def _oversold(connection: AsyncConnection) -> list[str]:
    rows = await connection.execute(select(sales).where(_taken() > sales.c.stock))
    return [
        f"sale {r.sku}: sold {r.sold}{f' and held {r.held}' if r.held else ''} of a stock of"
        f" {r.stock}"
        for r in rows
    ]


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
        .where(
            orders.c.status.in_((Status.CONFIRMED, *OPEN_IN_LEDGER)),
            sales.c.customer_limit.is_not(None),
        )
        .group_by(orders.c.sku, orders.c.customer_id, sales.c.customer_limit)
        .having(items > sales.c.customer_limit)
    )
    return [
        f"sale {r.sku}: customer {r.customer_id!r} holds {r.total}, limit {r.customer_limit}"
        for r in rows
    ]


async def _events(connection: AsyncConnection) -> list[str]:
    pruned = (await connection.execute(select(outbox_pruned))).one_or_none()
    before, events = (pruned.before, pruned.events) if pruned is not None else (0.0, 0)
    decided = orders.c.status != Status.FAILED
    newest = (outbox.c.order_id == orders.c.id) & (
        orders.c.events.is_(None) | (outbox.c.topic == topic_of(orders.c.status))
    )
    missing = (
        await connection.execute(
            select(orders.c.id, orders.c.status)
            .outerjoin(outbox, newest)
            .where(decided, events_of() > 0, outbox.c.order_id.is_(None))
            .where(orders.c.decided_at >= before)
        )
    ).all()
    astray = await connection.execute(
        select(outbox.c.event_id, outbox.c.topic)
        .outerjoin(orders, orders.c.id == outbox.c.order_id)
        .where(orders.c.id.is_(None) | (orders.c.status == Status.FAILED) | ~own_topic())
    )
    wrong = [f"order {r.id}: {r.status}, but no event in the outbox" for r in missing]
    wrong += [f"outbox {r.event_id}: {r.topic!r} belongs to no such order" for r in astray]
    wrong += await doubled_events(connection)
    had = await connection.scalar(select(func.sum(events_of())).where(decided)) or 0
    kept = await connection.scalar(
        select(func.count()).select_from(outbox.join(orders, orders.c.id == outbox.c.order_id))
    )
    gone = had - (kept or 0) - len(missing)
    if gone != events and not wrong:
        wrong.append(f"outbox: {events} old events were pruned, {gone} old orders have none")
    return wrong


async def _unknown_sales(connection: AsyncConnection) -> list[str]:
    rows = await connection.execute(
        select(orders.c.id, orders.c.sku)
        .outerjoin(sales, sales.c.sku == orders.c.sku)
        .where(_confirmed(), sales.c.sku.is_(None))
    )
    return [f"order {r.id}: confirmed for {r.sku}, of which there is no sale" for r in rows]


async def _not_taken(connection: AsyncConnection) -> list[str]:
    """Return orders of the shop's stock that are confirmed though the shop never took them."""
    rows = await connection.execute(
        select(orders.c.id, orders.c.sku)
        .join(sales, sales.c.sku == orders.c.sku)
        .where(
            _confirmed(),
            sales.c.stock.is_(None),
            func.coalesce(orders.c.delivery, "") != DeliveryState.DELIVERED,
        )
    )
    return [f"order {r.id}: confirmed for {r.sku}, but the shop has not taken it" for r in rows]


# The primary key keeps an order from being decided twice. If one is, `books` shows it.
_RULES = {
    "oversold": (_oversold,),
    "over_limit": (_over_limit,),
    "books": (_sold_as_confirmed, counted_as_held, _events, _unknown_sales, _not_taken),
    "ended_once": (ended_once,),
    "payments": (paid_once, settled, never_held),
    "passed_over": (passed_over,),
}
