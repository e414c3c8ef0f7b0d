"""Sell a batch in one transaction. The rule itself is `flashsale.domain.sales.decide`."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Delete, Row, Select, Update, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import DECIDED, DeliveryState, Status, may_follow
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Purchases, Sale, StockNotOurs, Verdict, decide
from flashsale.ledger.errors import LedgerRefused
from flashsale.ledger.sql.bulk import Column, among, insert_columns
from flashsale.ledger.sql.tables import orders, outbox, sales
from flashsale.messages.events import event_topic, new_event_id

REPLAYABLE = tuple(
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
    sales.c.hold_seconds,
    sales.c.waitlist,
    sales.c.held,
    sales.c.waiting,
    sales.c.waited,
    sales.c.line_head,
)
_rule_names = tuple(column.name for column in _RULE_COLUMNS)
_NO_TERMS = Sale("", None)
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
    add_sold: Update


def _statements(connection: AsyncConnection) -> _Statements:
    return _of_dialect(connection.dialect.name)


@lru_cache(maxsize=2)
def _of_dialect(dialect: str) -> _Statements:
    """Build the statements once, as building one takes longer than running it."""
    return _Statements(
        delete_replayed=delete(orders).where(
            orders.c.status.in_(REPLAYABLE), among(dialect, orders.c.id, "ids")
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
        add_sold=_add_all_sold() if dialect == "postgresql" else _add_sold,
    )


def _add_all_sold() -> Update:
    given = select(
        func.unnest(bindparam("skus", type_=ARRAY(sales.c.sku.type))).label("sku"),
        func.unnest(bindparam("items", type_=ARRAY(sales.c.sold.type))).label("items"),
    ).subquery("given")
    return (
        update(sales).where(sales.c.sku == given.c.sku).values(sold=sales.c.sold + given.c["items"])
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


async def reopen(connection: AsyncConnection, replayed: Sequence[str]) -> None:
    """Make failed orders undecided that an operator has replayed."""
    if replayed:
        await connection.execute(_statements(connection).delete_replayed, {"ids": replayed})


async def sell(
    connection: AsyncConnection,
    batch: Sequence[Order],
    now: float,
    traceparents: Mapping[str, str] | None,
    terms: Mapping[str, Sale],
    decided: Mapping[OrderId, Outcome],
    steps: Steps,
) -> Verdict:
    """Decide a batch inside the connection's transaction, at Unix time `now`.

    `terms` are its locked sales without holds, `decided` the outcomes of orders that are decided.
    Stock, orders and outbox change together. An order that is decided already keeps its outcome and
    changes nothing, so a batch may be repeated. Raises `LedgerRefused` for a sale without a stock
    of ours.
    """
    bought = await bought_before(connection, batch, terms)
    steps.done("read")
    try:
        outcomes = decide(batch, terms, bought, decided)
    except StockNotOurs as error:
        raise LedgerRefused(
            f"the stock of {error} is the shop's, and this drain delivers to no order service:"
            " set FLASHSALE_SINK_URL, and replay the order"
        ) from error
    # A dict, as an order may be in a batch twice; the first copy decides.
    new = {o.order.id: o for o in reversed(outcomes) if OrderId(o.order.id) not in decided}
    sold = sold_items(new.values())
    if new:
        written = list(reversed(new.values()))
        await insert_orders(connection, written, now)
        await insert_events(connection, written, now, traceparents)
        await add_sold(connection, sold)
    steps.done("write")
    return Verdict(outcomes, [s.but(sold=s.sold + sold[s.sku]) for s in terms.values()])


async def lock_terms(connection: AsyncConnection, skus: Collection[str]) -> dict[str, Sale]:
    """Lock the rows of sales in the order of their skus; return what the rule needs of them."""
    rows = await connection.execute(_statements(connection).lock, {"skus": sorted(skus)})
    found = (_NO_TERMS.but(**dict(zip(_rule_names, row, strict=True))) for row in rows)
    return {sale.sku: sale for sale in found}


async def decided_before(connection: AsyncConnection, ids: Sequence[str]) -> dict[OrderId, Outcome]:
    """Return the outcomes of those of these orders that are decided."""
    rows = await connection.execute(_statements(connection).decided, {"ids": ids})
    return {OrderId(row.id): as_outcome(row) for row in rows}


async def bought_before(
    connection: AsyncConnection, batch: Sequence[Order], terms: Mapping[str, Sale]
) -> Purchases:
    """Return the items that the customers of the batch hold of sales with a limit."""
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


async def insert_orders(
    connection: AsyncConnection,
    new: Sequence[Outcome],
    now: float,
    more: Mapping[str, Column] | None = None,
) -> None:
    """Write new outcomes, decided at Unix time `now`, with `more` columns."""
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
            **(more or {}),
        },
    )


async def insert_events(
    connection: AsyncConnection,
    new: Sequence[Outcome],
    now: float,
    traceparents: Mapping[str, str] | None,
    facts: Sequence[str | None] | None = None,
) -> None:
    """Write an event for each outcome to the outbox, with the facts that it has, if any."""
    events: dict[str, Column] = {
        "event_id": [new_event_id() for _ in new],
        "order_id": [o.order.id for o in new],
        "topic": [event_topic(o.status, o.order.sku) for o in new],
        "created_at": now,
    }
    if facts is not None:
        events["facts"] = facts
    if traceparents:
        events["traceparent"] = [traceparents.get(o.order.id) for o in new]
    await insert_columns(connection, outbox, events)


def sold_items(new: Iterable[Outcome]) -> Counter[str]:
    """Return the items of the confirmed orders by sku."""
    sold: Counter[str] = Counter()
    for outcome in new:
        if outcome.status is Status.CONFIRMED:
            sold[outcome.order.sku] += outcome.order.quantity
    return sold


async def add_sold(connection: AsyncConnection, sold: Mapping[str, int]) -> None:
    """Add items to what is counted as sold of each sale."""
    # One update for each sale, not for each order, as all orders share that row. One statement, as
    # a batch may have as many sales as orders.
    if not sold:
        return
    statement = _statements(connection).add_sold
    if connection.dialect.name == "postgresql":
        given = {"skus": list(sold), "items": list(sold.values())}
        await connection.execute(statement, given)
    else:
        rows = [{"of_sku": sku, "items": items} for sku, items in sold.items()]
        await connection.execute(statement, rows)


def as_sale(row: Row[tuple[object, ...]]) -> Sale:
    """Return the sale in a row of `sales`."""
    return Sale(**row._mapping)


def as_outcome(row: Row[tuple[object, ...]]) -> Outcome:
    """Return the outcome in a row of `orders`. A failed order may have an id only."""
    order = Order(
        row.id, row.sku or "", row.customer_id or "", row.quantity or 0, row.accepted_at or 0.0
    )
    return Outcome(
        order,
        Status(row.status),
        row.reason,
        row.remaining,
        row.order_ref,
        row.delivery and DeliveryState(row.delivery),
        row.expires_at,
        row.place,
        bool(row.extended),
    )
