"""The lease of the drain: a row with an epoch, which each transaction of the drain checks."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.domain.controls import Controls
from flashsale.domain.steady_clock import ClockReading
from flashsale.ledger.delivery_port import DeliveryBooks
from flashsale.ledger.drain_port import LEASE_SECONDS, BeforeCommit, at_once
from flashsale.ledger.errors import ControlsChanged, LedgerError, LedgerUnavailable
from flashsale.ledger.hold_port import Due
from flashsale.ledger.sql.delivery.books import SqlDeliveryBooks
from flashsale.ledger.sql.engines.driver_errors import named_errors
from flashsale.ledger.sql.engines.postgresql import Postgres, behind_pooler
from flashsale.ledger.sql.holds.due import find_due
from flashsale.ledger.sql.operators.controls import end_due_changes, read_controls
from flashsale.ledger.sql.sink import SqlSink
from flashsale.ledger.sql.transactions import writing

_RETRY_SECONDS = 0.25
_ATTEMPTS_OF_FROZEN = 4  # looked for once a second
_RELEASE_SECONDS = 1.0

# A drain that is frozen in a transaction locks the row of its lease, until PostgreSQL ends it.
_TRANSACTION = {"idle_in_transaction_session_timeout": f"{LEASE_SECONDS}s"}

# Without a pooler the lease ends with the session: at once if the process is killed, and after
# these timeouts if it is frozen or cut off.
_SESSION = {
    "idle_session_timeout": f"{LEASE_SECONDS}s",
    "tcp_keepalives_idle": f"{LEASE_SECONDS // 2}",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "5",
    "tcp_user_timeout": f"{LEASE_SECONDS * 1000}",
}

# ON CONFLICT alone would wait for a holder that is frozen in a transaction.
_MAKE_ROW = text(
    "INSERT INTO drain_leases (name, epoch, holder, expires_at)"
    " SELECT :name, 0, '', 0 WHERE NOT EXISTS (SELECT FROM drain_leases WHERE name = :name)"
    " ON CONFLICT DO NOTHING"
)

# A client that is frozen between the Parse and the Bind of a statement leaves its session in the
# state `active`, for which PostgreSQL has no timeout before version 17. It would lock the row of
# the lease as long as it is frozen. A session that itself waits for a lock is not ended.
_END_FROZEN = text(
    """
    SELECT pg_terminate_backend(frozen.pid)
    FROM drain_leases AS lease
    JOIN pg_locks AS held ON held.locktype = 'transactionid' AND held.granted
        AND held.transactionid = lease.xmax
    JOIN pg_stat_activity AS frozen ON frozen.pid = held.pid
    WHERE lease.name = :name AND frozen.wait_event = 'ClientRead'
        AND frozen.state_change < clock_timestamp() - make_interval(secs => :seconds)
    """
).bindparams(seconds=float(LEASE_SECONDS))

# Without a pooler the lease is free if the session of the holder has ended. (The start of another
# role's session is not visible.) Behind a pooler the session says nothing about the holder, and the
# lease is free if it has expired. A time far in the future means that the clock was set back.
# SKIP LOCKED: a statement that waits would hold back vacuum, and the holder.
_TAKE_OVER = text(
    """
    UPDATE drain_leases SET
        epoch = epoch + 1,
        holder = :holder,
        expires_at = extract(epoch FROM clock_timestamp())::float8 + :seconds,
        backend_pid = CASE WHEN :pooled THEN NULL ELSE pg_backend_pid() END,
        backend_start = (
            SELECT extract(epoch FROM backend_start)::float8
            FROM pg_stat_activity WHERE pid = pg_backend_pid() AND NOT :pooled
        )
    WHERE name = (
        SELECT name FROM drain_leases AS lease
        WHERE name = :name AND CASE WHEN backend_pid IS NULL THEN
            lease.expires_at - extract(epoch FROM clock_timestamp())::float8
                NOT BETWEEN 0 AND 2 * :seconds
        ELSE
            NOT EXISTS (
                SELECT FROM pg_stat_activity AS session
                WHERE session.pid = lease.backend_pid AND (
                    session.backend_start IS NULL
                    OR lease.backend_start IS NULL
                    OR extract(epoch FROM session.backend_start)::float8 = lease.backend_start
                )
            )
        END
        FOR UPDATE SKIP LOCKED
    )
    RETURNING epoch, adaptive_rate
    """
).bindparams(seconds=float(LEASE_SECONDS))

_RENEW = text(
    "UPDATE drain_leases"
    " SET expires_at = extract(epoch FROM clock_timestamp())::float8 + :seconds,"
    " adaptive_rate = :kept_rate"
    " WHERE name = :name AND epoch = :epoch"
    " RETURNING extract(epoch FROM clock_timestamp())::float8"
).bindparams(seconds=float(LEASE_SECONDS))

_READ_RATE = text("SELECT adaptive_rate FROM drain_leases WHERE name = :name")

_KEEP_RATE = text(
    "INSERT INTO drain_leases (name, epoch, holder, expires_at, adaptive_rate)"
    " VALUES (:name, 0, '', 0, :kept_rate)"
    " ON CONFLICT (name) DO UPDATE SET adaptive_rate = :kept_rate"
)

_GIVE_BACK = text("UPDATE drain_leases SET expires_at = 0 WHERE name = :name AND epoch = :epoch")


@dataclass(frozen=True)
class Term:
    """One holder's time with a lease. Each takeover increases the epoch by one."""

    name: str
    epoch: int


class SqlDrainLease:
    """The right to decide orders, until another drain takes it over."""

    def __init__(
        self,
        connection: AsyncConnection,
        name: str,
        term: Term | None = None,
        kept_rate: float | None = None,
    ) -> None:
        """Write on this connection. `term` is None for SQLite, where no other drain can be."""
        self._connection = connection
        self._name = name
        self._term = term
        self.kept_rate = self._written_rate = kept_rate
        self.controls = Controls()
        self.clock_reading: ClockReading | None = None
        # The session does one thing at a time: deliveries end while the next batch begins.
        self._one_at_a_time = asyncio.Lock()

    def open_sink(self, before_commit: BeforeCommit = at_once) -> SqlSink:
        """Return the sink that writes under this lease.

        In SQLite its transactions do not wait. Each has the file for itself, and other tasks of
        this process would stop the event loop until they get it.
        """
        return SqlSink(self.transaction, at_once if self._term is None else before_commit)

    def open_deliveries(self, before_begun: BeforeCommit = at_once) -> DeliveryBooks:
        """Return the books of deliveries that are written under this lease; see `open_sink`."""
        return SqlDeliveryBooks(self.transaction, at_once if self._term is None else before_begun)

    async def touch(self) -> None:
        """Keep the lease while idle, and read the controls. Raises `LedgerUnavailable`."""
        async with self._renewed() as connection:
            await self._read_controls(connection)

    async def due(self, now: float, most: int) -> Due:
        """Return what the holds need at Unix time `now`. Raises `LedgerUnavailable`."""
        async with self._one_at_a_time:
            with named_errors():
                self._require_session()
                async with self._connection.begin():
                    return await find_due(self._connection, now, most)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that renews the lease, and commit it at the exit.

        The lease is locked, so no other drain takes it over before the transaction ends. Raises
        `LedgerError`: `LedgerUnavailable` if the lease is lost, `ControlsChanged` if the controls
        are not those that were read before.
        """
        before = self.controls.for_drain
        async with self._renewed() as connection:
            await self._read_controls(connection)
            if self.controls.for_drain == before:
                yield connection
                return
        # What has ended is committed.
        raise ControlsChanged("the controls of the drain have changed")

    async def _read_controls(self, connection: AsyncConnection) -> None:
        controls = await read_controls(connection, self._name)
        self.controls = await end_due_changes(connection, self._name, controls)

    @asynccontextmanager
    async def _renewed(self) -> AsyncIterator[AsyncConnection]:
        async with self._one_at_a_time:
            with named_errors():
                self._require_session()
                rate = self.kept_rate
                async with self._connection.begin():
                    await self._renew(rate)
                    yield self._connection
                self._written_rate = rate

    def _require_session(self) -> None:
        if self._connection.invalidated:
            # SQLAlchemy would open another session, which does not hold the lease.
            raise LedgerUnavailable("the session of this drain is lost")

    async def _renew(self, rate: float | None) -> None:
        asked_at, now = time.monotonic(), time.time()
        if self._term is not None:
            now = await self._connection.scalar(_RENEW, {**vars(self._term), "kept_rate": rate})
            if now is None:
                raise LedgerUnavailable("the lease of this drain is lost")
        elif rate != self._written_rate:
            await self._connection.execute(_KEEP_RATE, {"name": self._name, "kept_rate": rate})
        self.clock_reading = ClockReading(now, asked_at, time.monotonic())


@asynccontextmanager
async def hold_only_drain(engine: AsyncEngine, name: str) -> AsyncIterator[SqlDrainLease]:
    """Hold the drain of a SQLite file: one process uses it, and a process has one drain."""
    async with engine.connect() as connection:
        connection = await connection.execution_options(flashsale_writes=True)
        with named_errors():
            async with connection.begin():
                kept_rate = await connection.scalar(_READ_RATE, {"name": name})
        yield SqlDrainLease(connection, name, None, kept_rate)


@asynccontextmanager
async def hold_drain(
    database: Postgres, engine: AsyncEngine, name: str
) -> AsyncIterator[SqlDrainLease]:
    """Wait until no other drain holds the lease of that name, and hold it until the exit.

    Use `engine` to give the lease back. Raises `LedgerError`.
    """
    session = database.single("drain", _TRANSACTION, _SESSION)
    with named_errors():
        connection = await session.connect()
    pooled, term = False, None
    try:
        with named_errors():
            pooled = await behind_pooler(connection)
            term, kept_rate = await _take_over(connection, name, pooled)
        yield SqlDrainLease(connection, name, term, kept_rate)
    finally:
        # End the session in any state it is in, which ends a lease without a pooler.
        await asyncio.shield(_end(connection))
        if pooled and term is not None:
            await asyncio.shield(_give_back(engine, term))
        await session.dispose()


async def _take_over(
    connection: AsyncConnection, name: str, pooled: bool
) -> tuple[Term, float | None]:
    holder = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
    async with connection.begin():
        await connection.execute(_MAKE_ROW, {"name": name})
    attempt = 0
    while True:
        async with connection.begin():
            taken = await connection.execute(
                _TAKE_OVER, {"name": name, "holder": holder, "pooled": pooled}
            )
            row = taken.first()
        if row is not None:
            return Term(name, row.epoch), row.adaptive_rate
        if attempt % _ATTEMPTS_OF_FROZEN == 0:
            async with connection.begin():
                await connection.execute(_END_FROZEN, {"name": name})
        attempt += 1
        await asyncio.sleep(_RETRY_SECONDS)


async def _give_back(engine: AsyncEngine, term: Term) -> None:
    try:
        async with asyncio.timeout(_RELEASE_SECONDS), writing(engine) as connection:
            await connection.execute(_GIVE_BACK, vars(term))
    except (LedgerError, TimeoutError):
        return  # the lease expires


async def _end(connection: AsyncConnection) -> None:
    try:
        with named_errors():
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if driver is not None:
                driver.terminate()
            await connection.invalidate()
            await connection.close()
    except LedgerUnavailable:
        return  # it had ended already
