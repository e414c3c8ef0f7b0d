"""Write deliveries: as the effect of an event, or in a transaction of our own."""

from collections.abc import Sequence

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.webhooks.deliveries import WebhookEvent
from flashsale.ledger.effects import Effects, Value
from flashsale.ledger.sql.bulk import among
from flashsale.ledger.sql.webhooks.tables import deliveries

# The endpoint may have been disabled or deleted meanwhile. Casts: PostgreSQL would take each value
# of a SELECT for a text.
_ADD = (
    "INSERT INTO webhook_deliveries"
    " (endpoint_id, event_id, order_id, type, occurred_at, body, traceparent, next_at)"
    " SELECT id, CAST(:event_id AS VARCHAR), CAST(:order_id AS VARCHAR), CAST(:type AS VARCHAR),"
    " CAST(:occurred_at AS DOUBLE PRECISION), CAST(:body AS TEXT), CAST(:traceparent AS VARCHAR),"
    " CAST(:next_at AS DOUBLE PRECISION)"
    " FROM webhook_endpoints WHERE id = CAST(:endpoint_id AS VARCHAR) AND enabled"
    " ON CONFLICT (endpoint_id, event_id) DO "
)
_NEW = _ADD + "NOTHING"
# A replay: a dead delivery gets all its attempts again, and a pending one stays as it is.
_AGAIN = _ADD + (
    "UPDATE SET dead_at = NULL, claim = NULL, attempts = 0, error = NULL,"
    " next_at = excluded.next_at WHERE webhook_deliveries.dead_at IS NOT NULL"
)


def add_delivery(effects: Effects, endpoint_id: str, event: WebhookEvent, now: float) -> None:
    """Have the event delivered to the endpoint, as an effect, unless it is disabled by then."""
    # Deliveries are made in the order of `next_at`. The clock of the consumer may be ahead.
    effects.run(_NEW, **_values(endpoint_id, event, min(event.occurred_at, now)))


async def write_deliveries(
    connection: AsyncConnection, endpoint_id: str, events: Sequence[WebhookEvent], next_at: float
) -> int:
    """Have the events delivered to an enabled endpoint, also those whose delivery is dead.

    Return how many are to be delivered now and were not before.
    """
    if not events:
        return 0
    pending = await connection.execute(
        select(func.count())
        .select_from(deliveries)
        .where(
            deliveries.c.endpoint_id == endpoint_id,
            deliveries.c.dead_at.is_(None),
            among(connection.dialect.name, deliveries.c.event_id, "ids"),
        ),
        {"ids": [event.event_id for event in events]},
    )
    await connection.execute(
        text(_AGAIN), [_values(endpoint_id, event, next_at) for event in events]
    )
    return len(events) - int(pending.scalar_one())


def _values(endpoint_id: str, event: WebhookEvent, next_at: float) -> dict[str, Value]:
    return {
        "endpoint_id": endpoint_id,
        "event_id": event.event_id,
        "order_id": event.order_id,
        "type": event.type,
        "occurred_at": event.occurred_at,
        "body": event.body,
        "traceparent": event.traceparent,
        "next_at": next_at,
    }
