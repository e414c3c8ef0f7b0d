"""Begin the deliveries of a batch: decide what we can decide, and say what is to be delivered."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Delete, Select, Update, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.delivery.screening import screen
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import DeliveryState, Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, Verdict, decide
from flashsale.ledger.delivery_port import Begun
from flashsale.ledger.errors import LedgerRefused
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.holds.tombstones import fill_tombstones
from flashsale.ledger.sql.sell import (
    REPLAYABLE,
    add_sold,
    bought_before,
    decided_before,
    insert_events,
    insert_orders,
    sold_items,
)
from flashsale.ledger.sql.tables import orders, sales


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about the orders of a batch besides the tables."""

    replayed: Collection[str]
    """The ids of those that an operator has replayed."""
    redelivered: Collection[str]
    """The ids of those that come from the queue again."""
    on_the_way: Mapping[OrderId, Order]
    """The orders that the order service is deciding, of this batch or not."""


async def begin(
    connection: AsyncConnection,
    batch: Sequence[Order],
    now: float,
    known: Known,
    traceparents: Mapping[str, str],
) -> Begun:
    """Begin the deliveries of a batch inside the connection's transaction, at Unix time `now`.

    Nothing is written about an order that the order service has to decide: after a crash it comes
    again from the queue.
    """
    first = _first(batch, known.on_the_way)
    batch = [first[OrderId(order.id)] for order in batch]
    terms = await lock_sales(connection, {order.sku for order in batch})
    if holding := sorted(sku for sku, sale in terms.items() if sale.has_holds):
        raise LedgerRefused(
            f"orders of {', '.join(holding)} hold items for a payment, and this drain delivers"
            " orders that are bought: unset FLASHSALE_SINK_URL, and replay the order"
        )
    written = await decided_before(connection, [order.id for order in batch])
    if written:
        written = await fill_tombstones(connection, batch, written, now)
    # The failed orders that are open again. Their rows stay until there is another outcome.
    reopened = {i for i, o in written.items() if i in known.replayed and o.status in REPLAYABLE}
    decided = {i: o for i, o in written.items() if i not in reopened}
    decided |= await _pending_again(connection, decided, known.replayed)
    maybe_known = {*written, *map(OrderId, known.redelivered), *known.on_the_way}
    bought = await bought_before(connection, batch, terms)
    theirs = {sku: sale for sku, sale in terms.items() if sale.stock is None}
    ours = {sku: sale for sku, sale in terms.items() if sale.stock is not None}
    # What is on the way is the shop's, whatever has become of the sale.
    by_shop = {i for i, order in first.items() if order.sku in theirs or i in known.on_the_way}
    outcomes = screen(
        [order for order in batch if order.id in by_shop],
        theirs,
        bought,
        decided,
        known.on_the_way.values(),
        maybe_known,
    )
    for outcome in decide([o for o in batch if o.id not in by_shop], ours, bought, decided):
        order_id = OrderId(outcome.order.id)
        if outcome.status is Status.CONFIRMED and order_id not in decided:
            outcome = msgspec.structs.replace(outcome, delivery=DeliveryState.PENDING)
        outcomes[order_id] = outcome
    new = [o for i, o in outcomes.items() if o is not None and i not in decided]
    sold = sold_items(new)
    if new:
        await delete_orders(connection, [o.order.id for o in new if o.order.id in reopened])
        await insert_orders(connection, new, now, {"delivery": [o.delivery for o in new]})
        await insert_events(connection, new, now, traceparents)
        await add_sold(connection, sold)
    return Begun(
        Verdict(
            [o for order in batch if (o := outcomes[OrderId(order.id)]) is not None],
            [sale.but(sold=sale.sold + sold[sale.sku]) for sale in terms.values()],
        ),
        _parcels(first, outcomes, maybe_known, traceparents),
    )


def _first(batch: Sequence[Order], on_the_way: Mapping[OrderId, Order]) -> Mapping[OrderId, Order]:
    """Return the orders of the batch by id: of one that came with several contents the first."""
    orders: dict[OrderId, Order] = {}
    for order in batch:
        order_id = OrderId(order.id)
        orders.setdefault(order_id, on_the_way.get(order_id, order))
    return orders


def _parcels(
    batch: Mapping[OrderId, Order],
    outcomes: Mapping[OrderId, Outcome | None],
    maybe_known: Collection[OrderId],
    traceparents: Mapping[str, str],
) -> list[Parcel]:
    """Return what is to be delivered, each order once."""
    parcels = []
    for order_id, order in batch.items():
        outcome = outcomes[order_id]
        if outcome is None or outcome.delivery is DeliveryState.PENDING:
            parcels.append(
                Parcel(
                    order if outcome is None else outcome.order,
                    decided=outcome is not None,
                    maybe_known=order_id in maybe_known,
                    traceparent=traceparents.get(order_id),
                )
            )
    return parcels


async def _pending_again(
    connection: AsyncConnection, decided: Mapping[OrderId, Outcome], replayed: Collection[str]
) -> dict[OrderId, Outcome]:
    """Set the failed deliveries that are replayed to pending; return their outcomes."""
    again = {
        order_id: msgspec.structs.replace(outcome, delivery=DeliveryState.PENDING)
        for order_id, outcome in decided.items()
        if order_id in replayed and outcome.delivery is DeliveryState.FAILED
    }
    if again:
        statement = _statements(connection).deliver_again
        await connection.execute(statement, {"ids": list(again)})
    return again


class _Statements(NamedTuple):
    lock: Select[Any]
    delete: Delete
    deliver_again: Update


def _statements(connection: AsyncConnection) -> _Statements:
    return _of_dialect(connection.dialect.name)


@lru_cache(maxsize=2)
def _of_dialect(dialect: str) -> _Statements:
    of_ids = among(dialect, orders.c.id, "ids")
    return _Statements(
        # In the order of the skus, so that two transactions can't deadlock.
        lock=select(
            sales.c.sku,
            sales.c.stock,
            sales.c.sold,
            sales.c.customer_limit,
            sales.c.opens_at,
            sales.c.closes_at,
            sales.c.sold_out,
            sales.c.hold_seconds,
            sales.c.held,
            sales.c.waiting,
        )
        .where(among(dialect, sales.c.sku, "skus"))
        .order_by(sales.c.sku)
        .with_for_update(),
        delete=delete(orders).where(orders.c.status.in_(REPLAYABLE), of_ids),
        deliver_again=update(orders)
        .where(orders.c.delivery == DeliveryState.FAILED, of_ids)
        .values(delivery=DeliveryState.PENDING, delivery_reason=None),
    )


async def lock_sales(connection: AsyncConnection, skus: set[str]) -> dict[str, Sale]:
    """Lock the rows of sales; return their terms, and how far they are sold."""
    rows = await connection.execute(_statements(connection).lock, {"skus": sorted(skus)})
    return {row.sku: Sale(**row._mapping) for row in rows}


async def delete_orders(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Delete the rows of failed orders that are decided now."""
    if ids:
        await connection.execute(_statements(connection).delete, {"ids": ids})
