"""Write what came of attempts, and disable an endpoint that takes nothing any more."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.audit_entries import AUTOMATIC, Author
from flashsale.domain.webhooks.deliveries import (
    LONGEST_ERROR,
    Attempt,
    AttemptResult,
)
from flashsale.domain.webhooks.event_types import ENDPOINT_DISABLED, TEST, subscribes
from flashsale.domain.webhooks.schedule import LONGEST_FAILING_SECONDS, Health
from flashsale.ledger.sql.webhooks.endpoints import DISABLE, as_endpoint, audit, find
from flashsale.ledger.sql.webhooks.new_deliveries import write_deliveries
from flashsale.ledger.sql.webhooks.tables import attempts as attempt_log
from flashsale.ledger.sql.webhooks.tables import deliveries, endpoints
from flashsale.messages.webhook_events import new_webhook


async def record(connection: AsyncConnection, made: Sequence[Attempt], now: float) -> list[str]:
    """Write what came of attempts; return the endpoints that were disabled by it."""
    touched = await _lock_endpoints(connection, made)
    await _forget(connection, [attempt for attempt in made if _ends(attempt)])
    dead = set()
    for attempt in made:
        kept = not _ends(attempt) and await _keep(connection, attempt, now)
        if kept and attempt.result is AttemptResult.DEAD:
            dead.add(attempt.delivery.endpoint_id)
    await connection.execute(insert(attempt_log), [_entry(attempt) for attempt in made])
    disabled = []
    for endpoint_id, row in touched.items():
        health = _health(row, [a for a in made if a.delivery.endpoint_id == endpoint_id], now)
        reason = _reason_to_disable(endpoint_id, made, dead, health, now)
        await connection.execute(
            update(endpoints).where(endpoints.c.id == endpoint_id).values(asdict(health))
        )
        if reason is not None and row.enabled:
            await disable(connection, endpoint_id, reason, now)
            disabled.append(endpoint_id)
    return disabled


async def disable(connection: AsyncConnection, endpoint_id: str, reason: str, now: float) -> None:
    """Disable a locked endpoint, write the audit, and tell the other endpoints."""
    before = await find(connection, endpoint_id)
    await connection.execute(
        update(endpoints)
        .where(endpoints.c.id == endpoint_id)
        .values(
            enabled=False,
            disabled_reason=reason,
            disabled_at=now,
            version=endpoints.c.version + 1,
        )
    )
    after = await find(connection, endpoint_id)
    author = Author(AUTOMATIC, reason=reason)
    await audit(connection, author, DISABLE, endpoint_id, before, after, None)
    # Others are told no address: it may hold a token, and they belong to somebody else.
    data = {"endpoint_id": endpoint_id, "reason": reason}
    event = new_webhook(ENDPOINT_DISABLED, now, data)
    others = await connection.execute(select(endpoints).where(endpoints.c.enabled))
    for other in map(as_endpoint, others.all()):
        if subscribes(other.event_types, ENDPOINT_DISABLED):
            await write_deliveries(connection, other.id, [event], now)


async def _lock_endpoints(
    connection: AsyncConnection, made: Sequence[Attempt]
) -> dict[str, Row[Any]]:
    """Lock the endpoints whose row changes: those where an attempt failed, now or just before."""
    ids = {attempt.delivery.endpoint_id for attempt in made}
    failed = {a.delivery.endpoint_id for a in made if a.result is not AttemptResult.DELIVERED}
    rows = await connection.execute(
        select(endpoints.c.id).where(
            endpoints.c.id.in_(ids), (endpoints.c.failures > 0) | endpoints.c.id.in_(failed)
        )
    )
    # In the order of their ids, so that two processes never wait for each other.
    locked = await connection.execute(
        select(endpoints)
        .where(endpoints.c.id.in_(rows.scalars().all()))
        .order_by(endpoints.c.id)
        .with_for_update()
    )
    return {row.id: row for row in locked}


def _ends(attempt: Attempt) -> bool:
    """Return whether nothing is left of the delivery: it is made, or it was a test."""
    return attempt.result is AttemptResult.DELIVERED or attempt.delivery.type == TEST


async def _forget(connection: AsyncConnection, ended: Sequence[Attempt]) -> None:
    if ended:
        # Also if another process has claimed it since: it has been delivered.
        await connection.execute(
            delete(deliveries).where(deliveries.c.id.in_([a.delivery.id for a in ended]))
        )


async def _keep(connection: AsyncConnection, attempt: Attempt, now: float) -> bool:
    """Write a failed attempt to its delivery; return whether it is still ours."""
    values: dict[str, Any] = {
        "attempts": attempt.delivery.attempts + 1,
        "claim": None,
        "error": _short(attempt.error),
    }
    if attempt.result is AttemptResult.DEAD:
        values["dead_at"] = now
    else:
        # After a 410 it waits for somebody who enables the endpoint.
        values["next_at"] = now if attempt.retry_at is None else attempt.retry_at
    mine = tuple_(deliveries.c.id, deliveries.c.claim)
    done = await connection.execute(
        update(deliveries)
        .where(mine == (attempt.delivery.id, attempt.delivery.claim))
        .values(values)
    )
    return bool(done.rowcount)


def _entry(attempt: Attempt) -> dict[str, Any]:
    return {
        "endpoint_id": attempt.delivery.endpoint_id,
        "event_id": attempt.delivery.event_id,
        "order_id": attempt.delivery.order_id,
        "type": attempt.delivery.type,
        "attempt": attempt.delivery.attempts + 1,
        "at": attempt.started_at,
        "milliseconds": attempt.milliseconds,
        "result": attempt.result.value,
        "status": attempt.status,
        "error": _short(attempt.error),
    }


def _short(error: str | None) -> str | None:
    # PostgreSQL stores any character but NUL in a text, and UTF-8 has no surrogates.
    if error is None:
        return None
    return error.replace("\0", "").encode(errors="replace").decode()[:LONGEST_ERROR]


def _health(row: Row[Any], made: Sequence[Attempt], now: float) -> Health:
    health = Health(row.failures, row.failing_since, row.failed_at, row.paused_until)
    for attempt in made:
        if attempt.result is AttemptResult.DELIVERED:
            health = health.after_success(attempt.started_at)
        elif attempt.delivery.type != TEST:
            health = health.after_failure(attempt.started_at, now, attempt.pause_until)
    return health


def _reason_to_disable(
    endpoint_id: str, made: Sequence[Attempt], dead: set[str], health: Health, now: float
) -> str | None:
    mine = [attempt for attempt in made if attempt.delivery.endpoint_id == endpoint_id]
    if any(attempt.result is AttemptResult.GONE for attempt in mine):
        return "the endpoint answered 410 Gone"
    if endpoint_id in dead:
        return "a delivery failed for the last time"
    if health.failing_since is not None and now - health.failing_since > LONGEST_FAILING_SECONDS:
        return "every attempt failed for more than a day"
    return None
