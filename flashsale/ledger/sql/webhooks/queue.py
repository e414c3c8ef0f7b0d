"""The deliveries as the processes that send them see them: claimed for a time, by SKIP LOCKED."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, exists, func, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.domain.webhooks.deliveries import Attempt, Claimed
from flashsale.domain.webhooks.schedule import shares
from flashsale.ledger.sql.transactions import reading, reading_once, writing
from flashsale.ledger.sql.webhooks.records import disable, record
from flashsale.ledger.sql.webhooks.tables import attempts as attempt_log
from flashsale.ledger.sql.webhooks.tables import deliveries, endpoints
from flashsale.ledger.webhook_port import Claims, Recorded, Room, Subscription
from flashsale.messages.events import new_event_id

_PRUNE_BATCH = 5_000
_PENDING = deliveries.c.dead_at.is_(None)
_SENT_TO = endpoints.c.enabled


class SqlWebhookQueue:
    """The deliveries in one database. See `flashsale.ledger.webhook_port.WebhookQueue`."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine for queries that read by key."""
        self._engine = engine

    async def subscriptions(self) -> list[Subscription]:
        """Return the enabled endpoints."""
        async with reading_once(self._engine) as connection:
            found = await connection.execute(
                select(endpoints.c.id, endpoints.c.event_types).where(_SENT_TO)
            )
            return [Subscription(row.id, tuple(row.event_types)) for row in found]

    async def claim(self, now: float, lease_seconds: float, room: Room) -> Claims:
        """Claim deliveries that are due at `now`, for `lease_seconds`."""
        async with reading_once(self._engine) as connection:
            enabled = (await connection.execute(_ENABLED)).all()
        taken = _taken(enabled, now, room)
        claimed: list[Claimed] = []
        if taken:
            until, token = now + lease_seconds, new_event_id()
            async with writing(self._engine) as connection:
                await _commit_soon(connection)
                for row in enabled:
                    if row.id in taken:
                        found = await _due(connection, row, taken[row.id], now)
                        claimed += [_as_claimed(each, row, token, now) for each in found]
                await _lease(connection, [each.id for each in claimed], token, until)
        return Claims(claimed, _next_at(enabled), len(enabled))

    async def record(self, attempts: Sequence[Attempt], now: float) -> Recorded:
        """Write what came of attempts, in one transaction."""
        async with writing(self._engine) as connection:
            return Recorded(await record(connection, attempts, now))

    async def give_back(self, deliveries_: Sequence[Claimed], now: float) -> None:
        """End the leases of deliveries that were not attempted."""
        if not deliveries_:
            return
        mine = tuple_(deliveries.c.id, deliveries.c.claim)
        async with writing(self._engine) as connection:
            await connection.execute(
                update(deliveries)
                .where(mine.in_([(each.id, each.claim) for each in deliveries_]))
                .values(claim=None, next_at=now)
            )

    async def limit_backlogs(self, most: int, now: float) -> Recorded:
        """Disable the endpoints for which more than `most` deliveries wait."""
        beyond = (
            select(deliveries.c.id)
            .where(deliveries.c.endpoint_id == endpoints.c.id, _PENDING)
            .order_by(deliveries.c.next_at)
            .offset(most)
            .limit(1)
            .scalar_subquery()
        )
        async with reading(self._engine) as connection:
            found = await connection.execute(
                select(endpoints.c.id).where(_SENT_TO, beyond.is_not(None))
            )
            full = sorted(found.scalars())
        disabled = []
        for endpoint_id in full:
            async with writing(self._engine) as connection:
                locked = await connection.execute(
                    select(endpoints.c.id)
                    .where(endpoints.c.id == endpoint_id, _SENT_TO)
                    .with_for_update()
                )
                if locked.first() is not None:
                    reason = f"more than {most} deliveries waited"
                    await disable(connection, endpoint_id, reason, now)
                    disabled.append(endpoint_id)
        return Recorded(disabled)

    async def prune(self, before: float) -> int:
        """Delete some of the attempts and dead deliveries from before `before`."""
        old_attempts = (
            select(attempt_log.c.id)
            .where(attempt_log.c.at < before)
            .order_by(attempt_log.c.at)
            .limit(_PRUNE_BATCH)
        )
        of_nobody = ~exists().where(endpoints.c.id == deliveries.c.endpoint_id)
        old_deliveries = (
            select(deliveries.c.id)
            .where(or_(deliveries.c.dead_at < before, of_nobody))
            .limit(_PRUNE_BATCH)
        )
        gone = 0
        async with writing(self._engine) as connection:
            for table, old in ((attempt_log, old_attempts), (deliveries, old_deliveries)):
                done = await connection.execute(delete(table).where(table.c.id.in_(old)))
                gone += done.rowcount
        return gone


# The first that is due of each endpoint is at the beginning of an index.
_FIRST_DUE = (
    select(func.min(deliveries.c.next_at))
    .where(deliveries.c.endpoint_id == endpoints.c.id, _PENDING)
    .scalar_subquery()
)
_ENABLED = select(endpoints, _FIRST_DUE.label("due_at")).where(_SENT_TO).order_by(_FIRST_DUE.asc())


def _taken(enabled: Sequence[Row[Any]], now: float, room: Room) -> dict[str, int]:
    """Return how many deliveries to take of each endpoint, the longest due first."""
    due: dict[str, int] = {}
    for row in enabled:
        if row.due_at is not None and row.due_at <= now and not _is_paused(row, now):
            each = room.each if row.failures == 0 else 1
            due[row.id] = max(each - room.in_flight.get(row.id, 0), 0)
    waiting = sum(row.id not in due and not room.in_flight.get(row.id) for row in enabled)
    return shares(due, room.in_flight, waiting, room.total)


def _next_at(enabled: Sequence[Row[Any]]) -> float | None:
    times = [max(row.due_at, row.paused_until or 0) for row in enabled if row.due_at is not None]
    return min(times, default=None)


def _is_paused(row: Row[Any], now: float) -> bool:
    return row.paused_until is not None and bool(row.paused_until > now)


async def _commit_soon(connection: AsyncConnection) -> None:
    """Do not wait for the disk: a claim that a power cut undoes is made again."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL synchronous_commit TO off"))


async def _due(
    connection: AsyncConnection, endpoint: Row[Any], most: int, now: float
) -> Sequence[Row[Any]]:
    """Lock the first deliveries of an endpoint that are due, of each order the earliest."""
    if endpoint.failures and not await _is_alone(connection, endpoint.id, now):
        return []
    found: Sequence[Row[Any]] = (await connection.execute(_due_of(endpoint.id, most, now))).all()
    return found


async def _is_alone(connection: AsyncConnection, endpoint_id: str, now: float) -> bool:
    """Return whether no process sends to a failing endpoint; lock it, so that none begins."""
    locked = await connection.execute(
        select(endpoints.c.id)
        .where(endpoints.c.id == endpoint_id, _SENT_TO)
        .with_for_update(skip_locked=True)
    )
    if locked.first() is None:
        return False
    in_flight = await connection.execute(
        select(deliveries.c.id)
        .where(
            deliveries.c.endpoint_id == endpoint_id,
            _PENDING,
            deliveries.c.next_at > now,
            deliveries.c.claim.is_not(None),
        )
        .limit(1)
    )
    return in_flight.first() is None


def _due_of(endpoint_id: str, most: int, now: float) -> Select[Any]:
    other = deliveries.alias("other")
    # With a limit, it is asked for each row by its index, and not planned as a join: the plan would
    # be made while the table is empty.
    earliest = (
        select(other.c.id)
        .where(
            other.c.endpoint_id == deliveries.c.endpoint_id,
            other.c.order_id == deliveries.c.order_id,
            other.c.dead_at.is_(None),
        )
        .order_by(other.c.occurred_at, other.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(deliveries)
        .where(
            deliveries.c.endpoint_id == endpoint_id,
            _PENDING,
            deliveries.c.next_at <= now,
            or_(deliveries.c.order_id.is_(None), deliveries.c.id == earliest),
        )
        .order_by(deliveries.c.next_at, deliveries.c.id)
        .limit(most)
        .with_for_update(of=deliveries, skip_locked=True)
    )


async def _lease(connection: AsyncConnection, ids: Sequence[int], token: str, until: float) -> None:
    if ids:
        await connection.execute(
            update(deliveries).where(deliveries.c.id.in_(ids)).values(claim=token, next_at=until)
        )


def _as_claimed(row: Row[Any], endpoint: Row[Any], token: str, now: float) -> Claimed:
    secrets = [endpoint.secret]
    if endpoint.previous_secret is not None and now < endpoint.previous_secret_until:
        secrets.append(endpoint.previous_secret)
    return Claimed(
        id=row.id,
        claim=token,
        endpoint_id=row.endpoint_id,
        url=endpoint.url,
        secrets=tuple(secrets),
        event_id=row.event_id,
        type=row.type,
        order_id=row.order_id,
        occurred_at=row.occurred_at,
        body=row.body,
        traceparent=row.traceparent,
        attempts=row.attempts,
    )
