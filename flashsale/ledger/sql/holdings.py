"""What the ledger holds of some sales, for a verdict on them."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.ledger.holdings import Decided, Holdings, Tally
from flashsale.ledger.sql.books import audit
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.tables import effects, loyalty, orders, outbox, ranking


async def holdings(connection: AsyncConnection, skus: Collection[str]) -> Holdings:
    """Read it all, in the transaction that the connection is in.

    Failed orders are among them, whichever sale they were of, and effects of no order at all.
    """
    of_sales = {"skus": list(skus)}
    mine = among(connection.dialect.name, orders.c.sku, "skus") | orders.c.sku.is_(None)
    decided = await connection.execute(
        select(
            orders.c.id,
            func.coalesce(orders.c.sku, ""),
            func.coalesce(orders.c.customer_id, ""),
            func.coalesce(orders.c.quantity, 0),
            orders.c.status,
        ).where(mine),
        of_sales,
    )
    done = await connection.execute(
        select(effects.c.service, effects.c.event_id)
        .outerjoin(orders, orders.c.id == effects.c.event_id)
        .where(mine),  # no order has no sku
        of_sales,
    )
    by_service: defaultdict[str, list[str]] = defaultdict(list)
    for service, event_id in done:
        by_service[service].append(event_id)
    unsent = await connection.execute(select(outbox.c.order_id).where(outbox.c.sent_at.is_(None)))
    ranked = among(connection.dialect.name, ranking.c.sku, "skus")
    counted = {
        "ranking": select(ranking.c.sku, ranking.c.customer_id, ranking.c.bought).where(ranked),
        "loyalty": select(literal(""), loyalty.c.customer_id, loyalty.c.points),
    }
    right = {
        "ranking": _done_items("ranking", orders.c.sku).where(mine),
        "loyalty": _done_items("loyalty", literal("")),
    }
    return Holdings(
        orders=[Decided(*row) for row in decided],
        broken=(await audit(connection)).broken,
        effects=by_service,
        unsent=frozenset(unsent.scalars()),
        tallies={
            name: Tally(
                await _sums(connection, counted[name], of_sales if name == "ranking" else {}),
                await _sums(connection, right[name], of_sales if name == "ranking" else {}),
            )
            for name in counted
        },
    )


def _done_items(service: str, sku: ColumnElement[str]) -> Select[Any]:
    """For each buyer the items of the orders that the service has done."""
    return (
        select(sku, orders.c.customer_id, func.sum(orders.c.quantity))
        .join(effects, effects.c.event_id == orders.c.id)
        .where(effects.c.service == service, orders.c.status == "confirmed")
        .group_by(*((orders.c.sku,) if sku is orders.c.sku else ()), orders.c.customer_id)
    )


async def _sums(
    connection: AsyncConnection, query: Select[Any], values: dict[str, list[str]]
) -> dict[tuple[str, str], int]:
    rows = await connection.execute(query, values)
    return {(sku, customer): int(total) for sku, customer, total in rows}
