"""Make deliveries again, of the orders that were decided in a range of time."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_states import Status
from flashsale.domain.webhooks.deliveries import SERVICE, Replayed, WebhookEvent
from flashsale.domain.webhooks.endpoints import Endpoint
from flashsale.domain.webhooks.event_types import order_event_type, subscribes
from flashsale.ledger.sql.tables import effects, orders, outbox
from flashsale.ledger.sql.webhooks.new_deliveries import write_deliveries
from flashsale.messages.events import OrderEvent
from flashsale.messages.webhook_events import order_webhook

MOST_ORDERS = 20_000
"""The orders that one call looks at. More than a drain decides at the same moment."""

_WITH_EVENTS = (Status.CONFIRMED, Status.REJECTED)


async def replay(
    connection: AsyncConnection, endpoint: Endpoint, since: float, until: float, now: float
) -> Replayed:
    """Make the deliveries of the range again, or of its first part.

    The event of an order is in the outbox, and when it was deleted there, among the events that the
    webhook service has done. An order of which neither is left is only counted.
    """
    wanted = [
        status
        for status in _WITH_EVENTS
        if subscribes(endpoint.event_types, order_event_type(status))
    ]
    page, more_from = await _page(connection, wanted, since, until)
    events = [_event(row) for row in page if row.event_id is not None]
    made = await write_deliveries(connection, endpoint.id, events, now)
    return Replayed(made, len(page) - len(events), more_from)


async def _page(
    connection: AsyncConnection, wanted: Sequence[Status], since: float, until: float
) -> tuple[Sequence[Row[Any]], float | None]:
    """Return the first orders of the range with their events, and where the rest begins.

    Orders that were decided at the same moment are never on two pages.
    """
    if not wanted:
        return [], None
    asked = _decided(wanted).where(orders.c.decided_at >= since, orders.c.decided_at < until)
    found = await connection.execute(
        select(asked.order_by(orders.c.decided_at).offset(MOST_ORDERS).limit(1).subquery())
    )
    next_one = found.first()
    if next_one is None:
        return await _with_events(connection, asked), None
    end = next_one.decided_at
    first = await connection.scalar(select(func.min(asked.subquery().c.decided_at)))
    if first == end:
        moment = _decided(wanted).where(orders.c.decided_at == end)
        later = await connection.scalar(
            select(func.min(asked.where(orders.c.decided_at > end).subquery().c.decided_at))
        )
        return await _with_events(connection, moment), later
    return await _with_events(connection, asked.where(orders.c.decided_at < end)), end


def _decided(wanted: Sequence[Status]) -> Select[Any]:
    return select(orders).where(orders.c.status.in_(wanted))


async def _with_events(connection: AsyncConnection, asked: Select[Any]) -> Sequence[Row[Any]]:
    found = asked.subquery()
    rows = await connection.execute(
        select(
            found,
            func.coalesce(outbox.c.event_id, effects.c.event_id).label("event_id"),
            outbox.c.traceparent,
        )
        .outerjoin(outbox, outbox.c.order_id == found.c.id)
        .outerjoin(effects, and_(effects.c.order_id == found.c.id, effects.c.service == SERVICE))
        .order_by(found.c.decided_at, found.c.id)
    )
    return rows.all()


def _event(row: Row[Any]) -> WebhookEvent:
    event = OrderEvent(
        event_id=row.event_id,
        status=row.status,
        reason=row.reason,
        sku=row.sku,
        customer_id=row.customer_id,
        quantity=row.quantity,
        accepted_at=row.accepted_at,
        decided_at=row.decided_at,
        order_id=row.id,
        remaining=row.remaining,
    )
    return order_webhook(event, row.traceparent)
