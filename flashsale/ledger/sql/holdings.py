"""Read the contents of the ledger about some sales, for an audit."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    func,
    inspect,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_states import Status
from flashsale.ledger.holdings import Decided, Holdings, RateChange, SkuAndCustomer, Tally
from flashsale.ledger.sql.balance_check import audit
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.effects import order_of_effect
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
            func.coalesce(orders.c.sku, ""),
            func.coalesce(orders.c.customer_id, ""),
            func.coalesce(orders.c.quantity, 0),
            orders.c.status,
        ).where(_of_sales(connection)),
        of_sales,
    )
    unsent = await connection.execute(select(outbox.c.order_id).where(outbox.c.sent_at.is_(None)))
    return Holdings(
        orders=[Decided(*row) for row in decided],
        broken=(await audit(connection)).broken,
        effects=await _effects(connection, of_sales),
        unsent=frozenset(unsent.scalars()),
        commits=await _commits(connection, of_sales),
        rate_changes=await _rate_changes(connection),
        tallies={
            service: await _tally(connection, service, declared, of_sales)
            for service, declared in totals.items()
        },
    )


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
        .where(_of_sales(connection))
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
    with_events = select(outbox.c.order_id).distinct().subquery()
    order_id = order_of_effect()
    done = await connection.execute(
        select(
            effects.c.service,
            effects.c.event_id,
            order_id.label("order_id"),
            outbox.c.order_id.label("order_of_event"),
            with_events.c.order_id.label("has_events"),
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
        # An order has one event. It may be pruned, and in version 0.1.0 it had the order's id. An
        # effect of any other event does not count for the order.
        own = row.order_of_event == row.order_id or row.event_id == row.order_id
        own = own or (row.order_of_event is None and row.has_events is None)
        by_service[row.service].append(row.order_id if own else row.event_id)
    return by_service


async def _tally(
    connection: AsyncConnection, service: str, totals: Totals, of_sales: dict[str, list[str]]
) -> Tally:
    """Return the totals of a service; none if its table does not exist yet."""
    expected = (
        select(
            literal("") if totals.sku is None else orders.c.sku,
            orders.c.customer_id,
            func.sum(orders.c.quantity),
        )
        .select_from(effects)
        .outerjoin(outbox, outbox.c.event_id == effects.c.event_id)
        .join(orders, orders.c.id == order_of_effect())
        .where(effects.c.service == service, orders.c.status == Status.CONFIRMED)
        .group_by(*(() if totals.sku is None else (orders.c.sku,)), orders.c.customer_id)
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
        await _sums(connection, expected, values),
    )


async def _sums(
    connection: AsyncConnection, query: Select[Any], values: dict[str, list[str]]
) -> dict[SkuAndCustomer, int]:
    rows = await connection.execute(query, values)
    return {(sku, customer): int(total) for sku, customer, total in rows}
