"""The row of a drain's controls: read in each batch's transaction, changed by operators."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Row, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.domain.audit_entries import AUTOMATIC, Author
from flashsale.domain.controls import Controls
from flashsale.ledger.errors import ChangedMeanwhile, LedgerBusy
from flashsale.ledger.sql.engines.driver_errors import named_errors
from flashsale.ledger.sql.operators.audit_log import database_time, write_entry
from flashsale.ledger.sql.operators.lock_waits import limit_waits
from flashsale.ledger.sql.tables import drain_controls
from flashsale.ledger.sql.transactions import reading_once, writing

_COLUMNS = [drain_controls.c[name] for name in asdict(Controls())]

_read = select(*_COLUMNS).where(drain_controls.c.name == text(":name"))

_MAKE_ROW = text(
    "INSERT INTO drain_controls (name, version) VALUES (:name, 0) ON CONFLICT DO NOTHING"
)

# A change waits for the batch in the transaction of the drain. So each batch belongs to the time
# before the change or to the time after it, also by the commit timestamps. A drain that is frozen
# writes nothing, so the change goes on without it.
_WAIT_FOR_BATCH = text("SELECT 1 FROM drain_leases WHERE name = :name FOR UPDATE")
_BATCH_SECONDS = 1


async def read_controls(connection: AsyncConnection, name: str) -> Controls:
    """Return the controls as they are in the row. Changes that have ended may still be there."""
    row = (await connection.execute(_read, {"name": name})).first()
    return Controls() if row is None else _as_controls(row)


async def end_due_changes(connection: AsyncConnection, name: str, controls: Controls) -> Controls:
    """Take back the changes that have ended, and audit it; return the controls after that."""
    if controls.next_end is None:
        return controls
    now = await database_time(connection)
    if controls.at(now) == controls:
        return controls
    # An operator who has the row locked must not hold up the drain: the next batch tries again.
    found = await connection.execute(_read.with_for_update(skip_locked=True), {"name": name})
    row = found.first()
    if row is None:
        return controls.at(now)
    return await _end(connection, name, _as_controls(row), now)


class SqlControlBoard:
    """The controls in one database. See `flashsale.ledger.port.ControlBoard`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, name: str) -> Controls:
        """Return the controls of a drain as they are in force now."""
        async with reading_once(self._engine) as connection:
            controls = await read_controls(connection, name)
            if controls.next_end is None:
                return controls
            return controls.at(await database_time(connection))

    async def change(
        self,
        name: str,
        action: str,
        change: Callable[[Controls, float], Controls],
        author: Author,
        version: int | None = None,
    ) -> Controls:
        """See `ControlBoard.change`."""
        async with writing(self._engine) as connection:
            await limit_waits(connection)
            await connection.execute(_MAKE_ROW, {"name": name})
            controls = await _lock(connection, name)
            # Last: an operator who waits for the row of the controls must not hold up a batch.
            await _wait_for_batch(connection, name)
            now = await database_time(connection)
            controls = await _end(connection, name, controls, now)
            if version is not None and version != controls.version:
                raise ChangedMeanwhile(
                    f"the controls are at version {controls.version}, not {version}"
                )
            changed = change(controls, now)
            return await _write(connection, name, controls, changed, now, author, action)


async def _wait_for_batch(connection: AsyncConnection, name: str) -> None:
    if connection.dialect.name != "postgresql":
        return  # SQLite has one writer
    await limit_waits(connection, _BATCH_SECONDS)
    try:
        with named_errors():
            async with connection.begin_nested():
                await connection.execute(_WAIT_FOR_BATCH, {"name": name})
    except LedgerBusy:
        pass


async def _lock(connection: AsyncConnection, name: str) -> Controls:
    found = await connection.execute(_read.with_for_update(), {"name": name})
    return _as_controls(found.one())


async def _end(connection: AsyncConnection, name: str, controls: Controls, now: float) -> Controls:
    left = controls.at(now)
    if left == controls:
        return controls
    return await _write(connection, name, controls, left, now, Author(AUTOMATIC), "drain.end")


async def _write(
    connection: AsyncConnection,
    name: str,
    before: Controls,
    after: Controls,
    now: float,
    author: Author,
    action: str,
) -> Controls:
    after = replace(after, version=before.version + 1)
    await connection.execute(
        update(drain_controls).where(drain_controls.c.name == name).values(asdict(after))
    )
    await write_entry(connection, now, author, action, name, asdict(before), asdict(after))
    return after


def _as_controls(row: Row[Any]) -> Controls:
    return Controls(**row._mapping)
