"""The rules of payments that the tables must obey at every commit."""

from collections import defaultdict

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds.payments import Disposition
from flashsale.domain.order_states import Status
from flashsale.ledger.sql.holds.payment_tables import payments
from flashsale.ledger.sql.tables import audit_log, orders, sales


async def paid_once(connection: AsyncConnection) -> list[str]:
    """Return orders that were held and are confirmed without a payment, or paid and not confirmed.

    A unique index keeps an order from being paid twice.
    """
    paying = (
        select(payments.c.order_id, func.count().label("number"))
        .where(payments.c.disposition == Disposition.CONFIRMED)
        .group_by(payments.c.order_id)
        .subquery()
    )
    number = func.coalesce(paying.c.number, 0)
    unpaid = await connection.execute(
        select(orders.c.id, number.label("number"))
        .outerjoin(paying, paying.c.order_id == orders.c.id)
        .where(orders.c.status == Status.CONFIRMED, orders.c.expires_at.is_not(None), number != 1)
    )
    astray = await connection.execute(
        select(payments.c.payment_id, payments.c.order_id, orders.c.status)
        .outerjoin(orders, orders.c.id == payments.c.order_id)
        .where(
            payments.c.disposition == Disposition.CONFIRMED,
            or_(orders.c.id.is_(None), orders.c.status != Status.CONFIRMED),
        )
    )
    return [
        *(f"order {r.id}: confirmed by {r.number} payments" for r in unpaid),
        *(
            f"payment {r.payment_id}: has paid order {r.order_id}, which is {r.status or 'unknown'}"
            for r in astray
        ),
    ]


async def settled(connection: AsyncConnection) -> list[str]:
    """Return payments whose money is neither taken nor given back, or that failed and count."""
    succeeded = payments.c.outcome == "succeeded"
    without_effect = payments.c.disposition == Disposition.FAILED
    kept = await connection.execute(
        select(payments.c.payment_id, payments.c.order_id).where(succeeded, without_effect)
    )
    failed = await connection.execute(
        select(payments.c.payment_id, payments.c.order_id, payments.c.disposition).where(
            and_(~succeeded, ~without_effect)
        )
    )
    return [
        *(
            f"payment {r.payment_id}: succeeded for order {r.order_id}, and neither confirms it nor"
            " is given back"
            for r in kept
        ),
        *(
            f"payment {r.payment_id}: failed for order {r.order_id}, and is {r.disposition}"
            for r in failed
        ),
    ]


async def never_held(connection: AsyncConnection) -> list[str]:
    """Return orders that are confirmed, and never were held, of sales that always had holds.

    An operator may give holds to a sale that has sold without them. The audit log shows it.
    """
    rows = await connection.execute(
        select(orders.c.id, orders.c.sku)
        .join(sales, sales.c.sku == orders.c.sku)
        .where(
            orders.c.status == Status.CONFIRMED,
            orders.c.expires_at.is_(None),
            sales.c.hold_seconds.is_not(None),
        )
    )
    by_sku: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_sku[row.sku].append(row.id)
    return [
        f"order {order_id}: confirmed for {sku}, and never was held"
        for sku, ids in by_sku.items()
        if await _always_held(connection, sku)
        for order_id in ids
    ]


async def _always_held(connection: AsyncConnection, sku: str) -> bool:
    changes = await connection.execute(
        select(audit_log.c.before, audit_log.c.after).where(
            audit_log.c.action.startswith("sale."), audit_log.c.target == sku
        )
    )
    return all(
        terms.get("hold_seconds") is not None
        for change in changes
        for terms in change
        if terms is not None
    )
