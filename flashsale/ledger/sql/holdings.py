"""Read the contents of the ledger about some sales, for an audit."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    case,
    func,
    inspect,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.holds import GRACE_SECONDS
from flashsale.domain.holds.payments import Disposition
from flashsale.domain.order_states import DeliveryState, Status
from flashsale.ledger.holdings import Decided, Holdings, RateChange, SkuAndCustomer, Tally
from flashsale.ledger.sql.balance_check import audit
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.effects import order_of_effect
from flashsale.ledger.sql.holds.due import HELD
from flashsale.ledger.sql.holds.past import earlier_events
from flashsale.ledger.sql.holds.payment_tables import payments
from flashsale.ledger.sql.operators.audit_log import database_time
from flashsale.ledger.sql.tables import audit_log, effects, orders, outbox
from flashsale.ledger.totals import Totals


async def holdings(
    connection: AsyncConnection, skus: Collection[str], totals: Mapping[str, Totals]
) -> Holdings:
    """Read the holdings in the connection's transaction.

    They include failed orders of unknown sales, and effects without an order.
    """
    of_sales = {"skus": list(skus)}
    decided = await connection.execute(
        select(
            orders.c.id,
            func.coalesce(orders.c.sku, "").label("sku"),
            func.coalesce(orders.c.customer_id, "").label("customer"),
            func.coalesce(orders.c.quantity, 0).label("quantity"),
            orders.c.status,
            *(orders.c.expires_at, orders.c.place, orders.c.confirmed_at, orders.c.events),
        ).where(_of_sales(connection)),
        of_sales,
    )
    refunds = await _refunds(connection)
    undelivered = await connection.execute(
        select(orders.c.id).where(
            orders.c.delivery == DeliveryState.PENDING,
            _of_sales(connection),
        ),
        of_sales,
    )
    unsent = await connection.execute(select(outbox.c.order_id).where(outbox.c.sent_at.is_(None)))
    return Holdings(
        orders=[
            Decided(*row[:5], earlier_events(row, refunds.get(row.id, 0)), row.place)
            for row in decided
        ],
        broken=(await audit(connection)).broken,
        effects=await _effects(connection, of_sales),
        undelivered=frozenset(undelivered.scalars()),
        unsent=frozenset(unsent.scalars()),
        commits=await _commits(connection, of_sales),
        rate_changes=await _rate_changes(connection),
        overdue=await _overdue(connection, of_sales),
        tallies={
            service: await _tally(connection, service, declared, of_sales)
            for service, declared in totals.items()
        },
    )


async def _refunds(connection: AsyncConnection) -> dict[str, int]:
    """Return how many payments have to be given back, by order id."""
    rows = await connection.execute(
        select(payments.c.order_id, func.count())
        .where(payments.c.disposition == Disposition.REFUND_DUE)
        .group_by(payments.c.order_id)
    )
    return {order_id: number for order_id, number in rows}


async def _overdue(connection: AsyncConnection, of_sales: dict[str, list[str]]) -> int:
    ended_by = await database_time(connection) - GRACE_SECONDS
    held = select(func.count()).where(HELD, orders.c.expires_at <= ended_by)
    return await connection.scalar(held.where(_of_sales(connection)), of_sales) or 0


def _of_sales(connection: AsyncConnection) -> ColumnElement[bool]:
    """Return the condition that an order is of these sales, or that its sale is not known."""
    return among(connection.dialect.name, orders.c.sku, "skus") | orders.c.sku.is_(None)


async def _commits(
    connection: AsyncConnection, of_sales: dict[str, list[str]]
) -> list[tuple[float, int]]:
    if connection.dialect.name != "postgresql":
        return []
    if await connection.scalar(text("SHOW track_commit_timestamp")) != "on":
        return []
    transaction: ColumnElement[Any] = literal_column("orders.xmin")
    moment = func.extract("epoch", func.pg_xact_commit_timestamp(transaction)).cast(Double)
    rows = await connection.execute(
        select(moment, func.count())
        .select_from(orders)
        .where(
            _of_sales(connection),
            orders.c.delivery.is_(None),
            orders.c.delivery_attempts.is_(None),
            orders.c.events.is_(None),
        )
        .group_by(transaction),
        of_sales,
    )
    # The time of a transaction is unknown if it is older than the setting, or very old.
    return sorted((moment, count) for moment, count in rows if moment is not None)


async def _rate_changes(connection: AsyncConnection) -> list[RateChange]:
    rows = await connection.execute(
        select(audit_log.c.at, audit_log.c.target, audit_log.c.after)
        .where(audit_log.c.action.startswith("drain."))
        .order_by(audit_log.c.id)
    )
    return [
        RateChange(at, drain, after["rate"])
        for at, drain, after in rows
        if after and "rate" in after
    ]


async def _effects(
    connection: AsyncConnection, of_sales: dict[str, list[str]]
) -> Mapping[str, list[str]]:
    kept = select(outbox.c.order_id, func.count().label("events")).group_by(outbox.c.order_id)
    with_events = kept.subquery()
    order_id = order_of_effect()
    done = await connection.execute(
        select(
            effects.c.service,
            effects.c.event_id,
            order_id.label("order_id"),
            outbox.c.order_id.label("order_of_event"),
            (func.coalesce(orders.c.events, 1) - func.coalesce(with_events.c.events, 0)).label(
                "pruned"
            ),
        )
        .select_from(effects)
        .outerjoin(outbox, outbox.c.event_id == effects.c.event_id)
        .outerjoin(orders, orders.c.id == order_id)
        .outerjoin(with_events, with_events.c.order_id == order_id)
        .where(_of_sales(connection)),
        of_sales,
    )
    by_service: defaultdict[str, list[str]] = defaultdict(list)
    for row in done:
        # An order has events of its own. They may be pruned, and in version 0.1.0 one had the
        # order's id. An effect of any other event does not count for the order.
        own = row.order_of_event == row.order_id or row.event_id == row.order_id
        own = own or (row.order_of_event is None and row.pruned > 0)
        by_service[row.service].append(row.order_id if own else row.event_id)
    return by_service


async def _tally(
    connection: AsyncConnection, service: str, totals: Totals, of_sales: dict[str, list[str]]
) -> Tally:
    """Return the totals of a service; none if its table does not exist yet."""
    expected = (
        select(
            (literal("") if totals.sku is None else orders.c.sku).label("sku"),
            orders.c.customer_id,
            (orders.c.quantity * _sign_of_effect()).label("items"),
        )
        .select_from(effects)
        .outerjoin(outbox, outbox.c.event_id == effects.c.event_id)
        .join(orders, orders.c.id == order_of_effect())
        .where(
            effects.c.service == service,
            (orders.c.status == Status.CONFIRMED) | orders.c.confirmed_at.is_not(None),
        )
    )
    counted = select(
        literal("") if totals.sku is None else totals.sku, totals.customer, totals.total
    )
    values: dict[str, list[str]] = {}
    if totals.sku is not None:
        values = of_sales
        expected = expected.where(_of_sales(connection))
        counted = counted.where(among(connection.dialect.name, totals.sku, "skus"))
    table = totals.total.table.name
    exists = await connection.run_sync(lambda sync: inspect(sync).has_table(table))
    return Tally(
        await _sums(connection, counted, values) if exists else {},
        await _sums(connection, _by_buyer(expected), values),
    )


def _sign_of_effect() -> ColumnElement[int]:
    """Return what the effect of an event adds to a total, for each item of its order: 1, 0 or -1.

    If the event was pruned, its kind is unknown. One pruned event of an order that was cancelled
    after it was confirmed is the confirmation, and of two one is either.
    """
    pruned = func.sum(case((outbox.c.topic.is_(None), 1), else_=0)).over(
        partition_by=order_of_effect()
    )
    return case(
        (outbox.c.topic.startswith(f"order.{Status.CONFIRMED}."), 1),
        (outbox.c.topic.startswith(f"order.{Status.CANCELLED}."), -1),
        (outbox.c.topic.is_not(None), 0),
        ((orders.c.status == Status.CONFIRMED) | (pruned == 1), 1),
        else_=0,
    )


def _by_buyer(expected: Select[Any]) -> Select[Any]:
    each = expected.subquery()
    buyer = each.c.sku, each.c.customer_id
    return select(*buyer, func.sum(each.c["items"])).group_by(*buyer)


async def _sums(
    connection: AsyncConnection, query: Select[Any], values: dict[str, list[str]]
) -> dict[SkuAndCustomer, int]:
    rows = await connection.execute(query, values)
    return {(sku, customer): int(total) for sku, customer, total in rows}
