"""The effects table: a service's changes and the mark of the done event are one transaction."""

import time
from collections.abc import Collection, Sequence
from functools import lru_cache

from sqlalchemy import ARRAY, ColumnElement, MetaData, TextClause, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.domain.order_states import Status
from flashsale.ledger.effects import Effects, Journey, Value
from flashsale.ledger.sql import schema
from flashsale.ledger.sql.bulk import among, insert_columns
from flashsale.ledger.sql.engines.driver_errors import refused_if_foreign
from flashsale.ledger.sql.tables import effects, orders, outbox
from flashsale.ledger.sql.transactions import reading, reading_once, writing


class SqlEffectStore:
    """The table of effects. See `flashsale.ledger.port.EffectStore`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create_tables(self, tables: MetaData) -> None:
        """Create the missing ones of a service's own tables."""
        async with writing(self._engine) as connection:
            await connection.run_sync(schema.create_missing, tables)

    async def done(self, service: str, event_ids: Collection[str]) -> set[str]:
        """Return the ids among `event_ids` of events that the service has done."""
        async with reading_once(self._engine) as connection:
            return await _done(connection, service, event_ids)

    async def journeys(self, sku: str) -> list[Journey]:
        """Return the journeys of the confirmed orders of a sale that any service has done."""
        async with reading(self._engine) as connection:
            rows = await connection.execute(
                select(
                    orders.c.id,
                    orders.c.accepted_at,
                    orders.c.decided_at,
                    func.max(effects.c.done_at).label("done_at"),
                    func.count().label("services"),
                )
                .select_from(effects)
                .outerjoin(outbox, outbox.c.event_id == effects.c.event_id)
                .join(orders, orders.c.id == order_of_effect())
                .where(
                    orders.c.sku == sku,
                    orders.c.status == Status.CONFIRMED,
                    # An order that was held has had other events. An event may be pruned.
                    outbox.c.topic.is_(None) | outbox.c.topic.like("order.confirmed.%"),
                )
                .group_by(orders.c.id)
            )
            return [
                Journey(row.id, row.accepted_at, row.decided_at, row.done_at, row.services)
                for row in rows
            ]

    async def take_effect(self, service: str, wanted: Sequence[Effects]) -> int:
        """Apply the effects of events that are not done, in one transaction; return how many."""
        async with writing(self._engine) as connection:
            by_id = {one.event_id: one for one in wanted}
            new = await self.mark(connection, service, [by_id[each] for each in sorted(by_id)])
            values: dict[str, list[dict[str, Value]]] = {}
            for event_id in new:
                for statement, bound in by_id[event_id].statements:
                    values.setdefault(statement, []).append(bound)
            for statement in sorted(values):
                # The same order in every transaction, so that there is no deadlock.
                rows = sorted(values[statement], key=lambda bound: str(list(bound.values())))
                with refused_if_foreign():
                    await connection.execute(_prepared(statement), rows)
        return len(new)

    async def mark(
        self, connection: AsyncConnection, service: str, wanted: Sequence[Effects]
    ) -> list[str]:
        """Mark events as done; return the ids that were not marked before, in the same order."""
        now = time.time()
        event_ids = [one.event_id for one in wanted]
        order_ids = [one.order_id for one in wanted]
        if connection.dialect.name == "postgresql":
            rows = await connection.execute(
                _INSERT_NEW,
                {"service": service, "events": event_ids, "orders": order_ids, "now": now},
            )
            return [row.event_id for row in rows]
        # SQLite has one writer at a time, so nothing changes between the read and the write.
        done = await _done(connection, service, event_ids)
        new = [one for one in wanted if one.event_id not in done]
        if new:
            await insert_columns(
                connection,
                effects,
                {
                    "service": [service] * len(new),
                    "event_id": [one.event_id for one in new],
                    "order_id": [one.order_id for one in new],
                    "done_at": now,
                },
            )
        return [one.event_id for one in new]


def order_of_effect() -> ColumnElement[str]:
    """Return the order id of an effect, in a query that joins the outbox by `event_id`.

    Workers of version 0.1.0 write effects without an order id. Then the outbox has it, or the
    event id is the order id, as in the events of that version.
    """
    return func.coalesce(effects.c.order_id, outbox.c.order_id, effects.c.event_id)


async def _done(connection: AsyncConnection, service: str, event_ids: Collection[str]) -> set[str]:
    rows = await connection.execute(
        select(effects.c.event_id).where(
            effects.c.service == service, among(connection.dialect.name, effects.c.event_id, "ids")
        ),
        {"ids": list(event_ids)},
    )
    return {row.event_id for row in rows}


_INSERT_NEW = text(
    "INSERT INTO effects (service, event_id, order_id, done_at)"
    " SELECT :service, unnest(:events), unnest(:orders), :now"
    " ON CONFLICT DO NOTHING RETURNING event_id"
).bindparams(
    bindparam("service", type_=effects.c.service.type),
    bindparam("events", type_=ARRAY(effects.c.event_id.type)),
    bindparam("orders", type_=ARRAY(effects.c.order_id.type)),
    bindparam("now", type_=effects.c.done_at.type),
)


@lru_cache(maxsize=256)
def _prepared(statement: str) -> TextClause:
    return text(statement)
