"""Sell a batch in one transaction. The rule itself is `flashsale.domain.sales.decide`."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Delete, Row, Select, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import DECIDED, Status, may_follow
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Purchases, Sale, Verdict, decide
from flashsale.ledger.sql.bulk import Column, among, insert_columns
from flashsale.ledger.sql.tables import orders, outbox, sales
from flashsale.messages.events import event_topic, new_event_id

_REPLAYABLE = tuple(
    status
    for status in DECIDED
    if may_follow(status, Status.CONFIRMED) and may_follow(status, Status.REJECTED)
)
"""The recorded states that leave the decision open: a replayed order may still get any."""

# The rule needs no more, and the row is read for each batch.
_RULE_COLUMNS = (
    sales.c.sku,
    sales.c.stock,
    sales.c.sold,
    sales.c.customer_limit,
    sales.c.opens_at,
    sales.c.closes_at,
)

_add_sold = (
    update(sales)
    .where(sales.c.sku == bindparam("of_sku"))
    .values(sold=sales.c.sold + bindparam("items"))
)


class _Statements(NamedTuple):
    delete_replayed: Delete
    lock: Select[Any]
    decided: Select[Any]
    bought: Select[Any]


def _statements(connection: AsyncConnection) -> _Statements:
    return _of_dialect(connection.dialect.name)


@lru_cache(maxsize=2)
def _of_dialect(dialect: str) -> _Statements:
    """Build the statements once, as building one takes longer than running it."""
    return _Statements(
        delete_replayed=delete(orders).where(
            orders.c.status.in_(_REPLAYABLE), among(dialect, orders.c.id, "ids")
        ),
        # In the order of the skus, so that two transactions can't deadlock.
        lock=select(*_RULE_COLUMNS)
        .where(among(dialect, sales.c.sku, "skus"))
        .order_by(sales.c.sku)
        .with_for_update(),
        decided=select(orders).where(among(dialect, orders.c.id, "ids")),
        bought=select(orders.c.sku, orders.c.customer_id, func.sum(orders.c.quantity))
        .where(
            orders.c.status == Status.CONFIRMED,
            among(dialect, orders.c.sku, "skus"),
            among(dialect, orders.c.customer_id, "customers"),
        )
        .group_by(orders.c.sku, orders.c.customer_id),
    )


class Steps:
    """The duration of each step of a transaction, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.perf_counter()

    def done(self, step: str) -> None:
        """End a step, and begin the next one."""
        now = time.perf_counter()
        self.seconds[step] = now - self._at
        self._at = now


async def sell(
    connection: AsyncConnection,
    batch: Sequence[Order],
    now: float,
    replayed: Sequence[str],
    traceparents: Mapping[str, str] | None,
    steps: Steps,
) -> Verdict:
    """Decide a batch inside the connection's transaction, at Unix time `now`.

    Stock, orders and outbox change together. An order that is decided already keeps its outcome and
    changes nothing, so a batch may be repeated. A failed order is decided if it is in `replayed`.
    """
    if replayed:
        await connection.execute(_statements(connection).delete_replayed, {"ids": replayed})
    terms = await _lock_sales(connection, {order.sku for order in batch})
    steps.done("lock")
    decided = await _decided(connection, [order.id for order in batch])
    bought = await _bought(connection, batch, terms)
    steps.done("read")
    outcomes = decide(batch, terms, bought, decided)
    # A dict, as an order may be in a batch twice; the first copy decides.
    new = {o.order.id: o for o in reversed(outcomes) if OrderId(o.order.id) not in decided}
    sold: Counter[str] = Counter()
    for outcome in new.values():
        if outcome.status is Status.CONFIRMED:
            sold[outcome.order.sku] += outcome.order.quantity
    if new:
        await _write(connection, list(reversed(new.values())), sold, traceparents, now)
    steps.done("write")
    return Verdict(outcomes, [replace(s, sold=s.sold + sold[s.sku]) for s in terms.values()])


async def _lock_sales(connection: AsyncConnection, skus: set[str]) -> dict[str, Sale]:
    rows = await connection.execute(_statements(connection).lock, {"skus": sorted(skus)})
    return {row.sku: Sale(*row) for row in rows}


async def _decided(connection: AsyncConnection, ids: Sequence[str]) -> dict[OrderId, Outcome]:
    rows = await connection.execute(_statements(connection).decided, {"ids": ids})
    return {OrderId(row.id): as_outcome(row) for row in rows}


async def _bought(
    connection: AsyncConnection, batch: Sequence[Order], terms: dict[str, Sale]
) -> Purchases:
    limited = [o for o in batch if o.sku in terms and terms[o.sku].customer_limit is not None]
    if not limited:
        return {}
    rows = await connection.execute(
        _statements(connection).bought,
        {
            "skus": sorted({o.sku for o in limited}),
            "customers": sorted({o.customer_id for o in limited}),
        },
    )
    return {(sku, customer): items for sku, customer, items in rows}


async def _write(
    connection: AsyncConnection,
    new: Sequence[Outcome],
    sold: Mapping[str, int],
    traceparents: Mapping[str, str] | None,
    now: float,
) -> None:
    await insert_columns(
        connection,
        orders,
        {
            "id": [o.order.id for o in new],
            "sku": [o.order.sku for o in new],
            "customer_id": [o.order.customer_id for o in new],
            "quantity": [o.order.quantity for o in new],
            "status": [o.status.value for o in new],
            "reason": [o.reason for o in new],
            "remaining": [o.remaining for o in new],
            "accepted_at": [o.order.accepted_at for o in new],
            "decided_at": now,
        },
    )
    events: dict[str, Column] = {
        "event_id": [new_event_id() for _ in new],
        "order_id": [o.order.id for o in new],
        "topic": [event_topic(o.status, o.order.sku) for o in new],
        "created_at": now,
    }
    if traceparents:
        events["traceparent"] = [traceparents.get(o.order.id) for o in new]
    await insert_columns(connection, outbox, events)
    # One update for each sale, not for each order, as all orders share that row. One round trip.
    if sold:
        await connection.execute(
            _add_sold, [{"of_sku": sku, "items": items} for sku, items in sorted(sold.items())]
        )


def as_sale(row: Row[tuple[object, ...]]) -> Sale:
    """Return the sale in a row of `sales`."""
    return Sale(**row._mapping)


def as_outcome(row: Row[tuple[object, ...]]) -> Outcome:
    """Return the outcome in a row of `orders`. A failed order may have an id only."""
    order = Order(
        row.id, row.sku or "", row.customer_id or "", row.quantity or 0, row.accepted_at or 0.0
    )
    return Outcome(order, Status(row.status), row.reason, row.remaining)
