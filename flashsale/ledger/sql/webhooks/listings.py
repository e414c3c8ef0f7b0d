"""What operators see: deliveries that wait, attempts that were made, and how much waits."""

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.audit_entries import AUTOMATIC
from flashsale.domain.webhooks.deliveries import (
    AttemptEntry,
    AttemptResult,
    Delivery,
    webhook_id,
)
from flashsale.domain.webhooks.endpoints import Backlog
from flashsale.ledger.sql.tables import audit_log
from flashsale.ledger.sql.webhooks.endpoints import DISABLE
from flashsale.ledger.sql.webhooks.tables import attempts, deliveries, endpoints


async def list_deliveries(
    connection: AsyncConnection, endpoint_id: str, limit: int, after: int | None
) -> list[Delivery]:
    """Return pending and dead deliveries of an endpoint, in the order of their ids."""
    asked = (
        select(deliveries)
        .where(deliveries.c.endpoint_id == endpoint_id)
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    if after is not None:
        asked = asked.where(deliveries.c.id > after)
    return [_as_delivery(row) for row in await connection.execute(asked)]


async def list_attempts(
    connection: AsyncConnection, endpoint_id: str, limit: int, before: int | None
) -> list[AttemptEntry]:
    """Return attempts of an endpoint, the newest first."""
    asked = (
        select(attempts)
        .where(attempts.c.endpoint_id == endpoint_id)
        .order_by(attempts.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        asked = asked.where(attempts.c.id < before)
    return [_as_entry(row) for row in await connection.execute(asked)]


async def list_backlogs(connection: AsyncConnection) -> list[Backlog]:
    """Return what waits for each endpoint."""
    alive = deliveries.c.dead_at.is_(None)
    waiting = (
        select(
            deliveries.c.endpoint_id,
            _count(alive).label("pending"),
            _count(~alive).label("dead"),
            func.min(case((alive, deliveries.c.occurred_at))).label("oldest"),
        )
        .group_by(deliveries.c.endpoint_id)
        .subquery()
    )
    rows = await connection.execute(
        select(
            endpoints.c.id,
            endpoints.c.enabled,
            and_(~endpoints.c.enabled, _disabled_by == AUTOMATIC).label("gave_up"),
            func.coalesce(waiting.c.pending, 0).label("pending"),
            func.coalesce(waiting.c.dead, 0).label("dead"),
            waiting.c.oldest,
        )
        .outerjoin(waiting, waiting.c.endpoint_id == endpoints.c.id)
        .order_by(endpoints.c.created_at, endpoints.c.id)
    )
    return [
        Backlog(row.id, row.enabled, bool(row.gave_up), row.pending, row.dead, row.oldest)
        for row in rows
    ]


# An operator who disables an endpoint that is disabled already knows of it.
_disabled_by = (
    select(audit_log.c.who)
    .where(audit_log.c.target == endpoints.c.id, audit_log.c.action == DISABLE)
    .order_by(audit_log.c.id.desc())
    .limit(1)
    .scalar_subquery()
)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _as_delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        endpoint_id=row.endpoint_id,
        webhook_id=webhook_id(row.event_id, row.endpoint_id),
        event_id=row.event_id,
        type=row.type,
        order_id=row.order_id,
        occurred_at=row.occurred_at,
        attempts=row.attempts,
        next_at=row.next_at,
        error=row.error,
        dead_at=row.dead_at,
    )


def _as_entry(row: Row[Any]) -> AttemptEntry:
    return AttemptEntry(
        id=row.id,
        endpoint_id=row.endpoint_id,
        webhook_id=webhook_id(row.event_id, row.endpoint_id),
        event_id=row.event_id,
        type=row.type,
        order_id=row.order_id,
        attempt=row.attempt,
        at=row.at,
        milliseconds=row.milliseconds,
        result=AttemptResult(row.result),
        status=row.status,
        error=row.error,
    )
