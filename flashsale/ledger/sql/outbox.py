"""The outbox: events that are written together with their orders and wait to be published.

Reading `id > last` would lose rows, since transactions commit in another order than their ids. So
each row has a column `sent_at`, and SKIP LOCKED lets any number of relays share the work.
"""

import time
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Row, Select, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.ledger.outbox_events import Relayed, Send, Unsent
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.tables import effects, orders, outbox
from flashsale.ledger.sql.transactions import reading, writing
from flashsale.messages.events import (
    NO_FACTS,
    EventStatus,
    OrderEvent,
    decode_facts,
    status_of_topic,
)

_PRUNE_BATCH = 5_000
_OF_ORDERS = (
    *("id", "sku", "customer_id", "quantity", "status", "reason", "remaining", "accepted_at"),
)


class SqlOutbox:
    """The outbox of one database. See `flashsale.ledger.port.Outbox`."""

    def __init__(self, engine: AsyncEngine, by_key: AsyncEngine) -> None:
        self._engine = engine
        self._by_key = by_key

    async def relay(self, limit: int, until: float, send: Send) -> Relayed:
        """Send up to `limit` of the oldest unsent events, and mark the confirmed ones as sent."""
        if self._engine.dialect.name == "postgresql":
            # Claimed rows stay locked until they are marked, so no other relay sends them.
            async with writing(self._by_key) as connection:
                events = await self.claim(connection, limit, until)
                sent = await send(events) if events else []
                await self.mark(connection, sent)
        else:
            # SQLite has one relay. A lock during `send` would stop the drain.
            async with reading(self._engine) as connection:
                events = await self.claim(connection, limit, until)
            sent = await send(events) if events else []
            async with writing(self._engine) as connection:
                await self.mark(connection, sent)
        oldest = min((unsent.event.decided_at for unsent in events), default=None)
        return Relayed(len(events), len(sent), oldest)

    async def claim(self, connection: AsyncConnection, limit: int, until: float) -> list[Unsent]:
        """Return the oldest unsent events, and lock them for this transaction."""
        rows = await connection.execute(_unsent(limit, until))
        return [Unsent(_event(row), row.traceparent) for row in rows]

    async def mark(self, connection: AsyncConnection, event_ids: Sequence[str]) -> None:
        """Mark these events as sent."""
        if event_ids:
            await connection.execute(
                update(outbox)
                .where(among(connection.dialect.name, outbox.c.event_id, "ids"))
                .values(sent_at=time.time()),
                {"ids": event_ids},
            )

    async def prune(self, before: float) -> int:
        """Delete some of the sent events created before `before`; return how many."""
        async with writing(self._engine) as connection:
            old = (
                select(outbox.c.event_id)
                .where(outbox.c.sent_at.is_not(None), outbox.c.created_at < before)
                .limit(_PRUNE_BATCH)
                .with_for_update(skip_locked=True)
            )
            gone = await connection.execute(delete(outbox).where(outbox.c.event_id.in_(old)))
            if gone.rowcount:
                await connection.execute(_COUNT_PRUNED, {"before": before, "events": gone.rowcount})
            return int(gone.rowcount)

    async def send_again(self, services: int) -> int:
        """Mark events as unsent that fewer than `services` have done; return how many."""
        async with writing(self._engine) as connection:
            done = (
                select(effects.c.event_id)
                .group_by(effects.c.event_id)
                .having(func.count() >= services)
            )
            changed = await connection.execute(
                update(outbox)
                .where(outbox.c.sent_at.is_not(None), outbox.c.event_id.not_in(done))
                .values(sent_at=None)
            )
            return int(changed.rowcount)


def _event(row: Row[Any]) -> OrderEvent:
    """Return an event as it was when it was written. Its order may have moved on since."""
    status = status_of_topic(row.topic)
    facts = NO_FACTS if row.facts is None else decode_facts(row.facts)
    as_then = row.status == status
    return OrderEvent(
        event_id=row.event_id,
        status=cast("EventStatus", status),
        reason=row.reason if as_then and facts.reason is None else facts.reason,
        sku=row.sku,
        customer_id=row.customer_id,
        quantity=row.quantity,
        accepted_at=row.accepted_at,
        decided_at=row.created_at,
        order_id=row.id,
        remaining=row.remaining if as_then else None,
        expires_at=facts.expires_at,
        place=facts.place,
        payment_id=facts.payment_id,
        amount=facts.amount,
        currency=facts.currency,
        was_confirmed=facts.was_confirmed,
    )


def _unsent(limit: int, until: float) -> Select[Any]:
    return (
        select(
            *(orders.c[name] for name in _OF_ORDERS),
            *(outbox.c[name] for name in ("event_id", "topic", "created_at")),
            *(outbox.c.traceparent, outbox.c.facts),
        )
        .join(outbox, outbox.c.order_id == orders.c.id)
        .where(outbox.c.sent_at.is_(None), outbox.c.created_at <= until)
        .order_by(outbox.c.created_at)
        .limit(limit)
        .with_for_update(of=outbox, skip_locked=True)
    )


_COUNT_PRUNED = text(
    "INSERT INTO outbox_pruned (name, before, events) VALUES ('all', :before, :events)"
    " ON CONFLICT (name) DO UPDATE SET events = outbox_pruned.events + excluded.events,"
    " before = CASE WHEN excluded.before > outbox_pruned.before THEN excluded.before"
    " ELSE outbox_pruned.before END"
)
