"""The audit log: each change of an operator, written in the transaction of the change."""

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Double, Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.domain.audit_entries import AuditEntry, Author
from flashsale.ledger.errors import KeyTaken
from flashsale.ledger.sql.tables import audit_log
from flashsale.ledger.sql.transactions import reading, writing

_CLOCK = func.extract("epoch", func.clock_timestamp()).cast(Double)


async def database_time(connection: AsyncConnection) -> float:
    """Return the Unix time of the database server, the one clock of all operators.

    A SQLite file has none; its only machine has.
    """
    if connection.dialect.name != "postgresql":
        return time.time()
    return float((await connection.execute(select(_CLOCK))).scalar_one())


async def write_entry(
    connection: AsyncConnection,
    now: float,
    author: Author,
    action: str,
    target: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    request: str | None = None,
) -> None:
    """Write an entry in the connection's transaction. `request` is what was asked for."""
    await connection.execute(
        insert(audit_log).values(
            at=now,
            who=author.who,
            action=action,
            target=target,
            before=before,
            after=after,
            reason=author.reason,
            request_id=author.request_id,
            idempotency_key=author.idempotency_key,
            request=request,
        )
    )


async def earlier_result(
    connection: AsyncConnection, author: Author, request: str
) -> Mapping[str, Any] | None:
    """Return what a request with the same key left behind, None if there was none.

    Call it after the row to change is locked, so that two requests with a key can't both find
    nothing. Raises `KeyTaken` if the key belongs to another request.
    """
    if author.idempotency_key is None:
        return None
    found = await connection.execute(
        select(audit_log.c.after, audit_log.c.request, audit_log.c.who).where(
            audit_log.c.idempotency_key == author.idempotency_key
        )
    )
    row = found.first()
    if row is None:
        return None
    if (row.request, row.who) != (request, author.who):
        raise KeyTaken("this Idempotency-Key came with another request")
    return dict(row.after or {})


def as_request(action: str, target: str, wanted: Mapping[str, Any]) -> str:
    """Return a request as one text, by which a repeated one is recognised."""
    return f"{action} {target} {json.dumps(wanted, sort_keys=True)}"


class SqlAuditLog:
    """The audit log of one database. See `flashsale.ledger.port.AuditLog`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def entries(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """Return up to `limit` entries, the newest first; only those before an id, if given."""
        query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit_log.c.id < before)
        async with reading(self._engine) as connection:
            return [_as_entry(row) for row in await connection.execute(query)]

    async def earlier_result(
        self, author: Author, action: str, target: str, wanted: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return what a request with the author's idempotency key left behind, None if nothing.

        Raises `KeyTaken` if the key belongs to another request.
        """
        async with reading(self._engine) as connection:
            return await earlier_result(connection, author, as_request(action, target, wanted))

    async def write(
        self,
        author: Author,
        action: str,
        target: str,
        wanted: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> None:
        """Write an entry about a change that was made elsewhere, as on the broker."""
        request = as_request(action, target, wanted)
        async with writing(self._engine) as connection:
            now = await database_time(connection)
            await write_entry(connection, now, author, action, target, None, after, request)


def _as_entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        who=row.who,
        action=row.action,
        target=row.target,
        before=row.before,
        after=row.after,
        reason=row.reason,
        request_id=row.request_id,
    )
