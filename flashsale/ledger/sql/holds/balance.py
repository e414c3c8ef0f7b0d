"""The rules of holds that the tables must obey at every commit."""

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ColumnElement

from flashsale.domain.holds.payments import Disposition
from flashsale.domain.order_states import Status
from flashsale.ledger.sql.holds.payment_tables import payments
from flashsale.ledger.sql.tables import orders, outbox, sales


async def counted_as_held(connection: AsyncConnection) -> list[str]:
    """Return sales whose counts are not those of their orders."""
    held, waits = (orders.c.status == status for status in (Status.HELD, Status.WAITLISTED))
    counted = (
        select(
            orders.c.sku,
            func.sum(case((held, orders.c.quantity), else_=0)).label("held"),
            func.sum(case((waits, 1), else_=0)).label("waiting"),
        )
        .where(held | waits)
        .group_by(orders.c.sku)
        .subquery()
    )
    items, number = func.coalesce(counted.c.held, 0), func.coalesce(counted.c.waiting, 0)
    rows = await connection.execute(
        select(
            *(sales.c.sku, sales.c.held, sales.c.waiting),
            *(items.label("items"), number.label("number")),
        )
        .outerjoin(counted, counted.c.sku == sales.c.sku)
        .where((sales.c.held != items) | (sales.c.waiting != number))
    )
    return [
        f"sale {r.sku}: {r.held} counted as held, {r.items} items in held orders;"
        f" {r.waiting} counted as waiting, {r.number} orders wait"
        for r in rows
    ]


async def ended_once(connection: AsyncConnection) -> list[str]:
    """Return orders that have had more or fewer events than their way to their state has.

    A hold ends once: it is paid, it expires, or it is cancelled. Only an order that has expired may
    be paid after that. `orders.events` counts the events of an order, those that were pruned, too.
    """
    refunds = (
        select(payments.c.order_id, func.count().label("number"))
        .where(payments.c.disposition == Disposition.REFUND_DUE)
        .group_by(payments.c.order_id)
        .subquery()
    )
    was_held, waited = orders.c.expires_at.is_not(None), orders.c.place.is_not(None)
    bought = orders.c.confirmed_at.is_not(None)
    cancelled = orders.c.status == Status.CANCELLED
    refunded = func.coalesce(refunds.c.number, 0)
    steps = (
        _one_if(waited & (orders.c.status != Status.WAITLISTED))
        + _one_if(was_held & (orders.c.status != Status.HELD))
        + _one_if(bought & cancelled)
        + 1
    )
    # One that was paid has expired before, if it has had one event more.
    paid_late = was_held & ((orders.c.status == Status.CONFIRMED) | (cancelled & bought))
    more = events_of() - refunded - steps
    bare = cancelled & orders.c.customer_id.is_(None)
    rows = await connection.execute(
        select(orders.c.id, orders.c.status, events_of().label("had"), refunded.label("refunded"))
        .outerjoin(refunds, refunds.c.order_id == orders.c.id)
        .where(orders.c.status != Status.FAILED, ~bare)
        .where(more != 0, ~(paid_late & (more == 1)))
    )
    return [
        f"order {r.id}: is {r.status} after {r.had} events, and has {r.refunded} payments to be"
        " given back"
        for r in rows
    ]


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


async def passed_over(connection: AsyncConnection) -> list[str]:
    """Return orders that wait though one behind them in the line was served.

    Also those that share their place in the line.
    """
    served = (
        select(orders.c.sku, func.max(orders.c.place).label("furthest"))
        .where(orders.c.place.is_not(None), orders.c.expires_at.is_not(None))
        .group_by(orders.c.sku)
        .subquery()
    )
    rows = await connection.execute(
        select(orders.c.id, orders.c.place, served.c.furthest)
        .join(served, served.c.sku == orders.c.sku)
        .where(orders.c.status == Status.WAITLISTED, orders.c.place < served.c.furthest)
    )
    shared = await connection.execute(
        select(orders.c.sku, orders.c.place, func.count().label("number"))
        .where(orders.c.status == Status.WAITLISTED)
        .group_by(orders.c.sku, orders.c.place)
        .having(func.count() > 1)
    )
    return [
        *(
            f"order {r.id}: waits as number {r.place}, and number {r.furthest} was served"
            for r in rows
        ),
        *(f"sale {r.sku}: {r.number} orders wait as number {r.place}" for r in shared),
    ]


async def doubled_events(connection: AsyncConnection) -> list[str]:
    """Return orders with the same event twice. Money may have to be given back several times."""
    rows = await connection.execute(
        select(outbox.c.order_id, func.count().label("events"))
        .where(outbox.c.topic.not_like("order.refund\\_due.%", escape="\\"))
        .group_by(outbox.c.order_id, outbox.c.topic)
        .having(func.count() > 1)
    )
    return [f"order {r.order_id}: {r.events} events in the outbox" for r in rows]


def own_topic() -> ColumnElement[bool]:
    """Return whether an event is one of its order, in a query that joins both."""
    was_held, waited = orders.c.expires_at.is_not(None), orders.c.place.is_not(None)
    confirmed = orders.c.confirmed_at.is_not(None)
    possible = {
        Status.HELD.value: was_held,
        Status.WAITLISTED.value: waited,
        Status.EXPIRED.value: and_(was_held, or_(orders.c.status.in_(_AFTER_EXPIRY), confirmed)),
        Status.CONFIRMED.value: and_(confirmed, orders.c.status == Status.CANCELLED),
        "refund_due": was_held,
    }
    return or_(
        outbox.c.topic == topic_of(orders.c.status),
        *(and_(outbox.c.topic == topic_of(s), state) for s, state in possible.items()),
    )


_AFTER_EXPIRY = (Status.EXPIRED, Status.CONFIRMED)


def topic_of(status: ColumnElement[str] | str) -> ColumnElement[str]:
    """Return the topic of an event of an order."""
    return "order." + status + "." + orders.c.sku


def events_of() -> ColumnElement[int]:
    """Return the number of events that an order has had."""
    return func.coalesce(orders.c.events, 1)
