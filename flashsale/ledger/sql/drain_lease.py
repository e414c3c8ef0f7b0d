"""The right to decide orders: one row for each sale, which every transaction of a drain checks."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flashsale.ledger.errors import LedgerError, LedgerUnavailable
from flashsale.ledger.port import LEASE_SECONDS
from flashsale.ledger.sql.engines.driver_errors import named_errors
from flashsale.ledger.sql.engines.postgresql import Postgres, behind_pooler
from flashsale.ledger.sql.sink import SqlSink
from flashsale.ledger.sql.transactions import writing

_RETRY_SECONDS = 0.25
_RELEASE_SECONDS = 1.0

# A drain that is frozen inside a transaction holds the row of its lease. The server ends it.
_TRANSACTION = {"idle_in_transaction_session_timeout": f"{LEASE_SECONDS}s"}

# A drain with a session of its own loses the lease with the session, at once if it is killed.
_SESSION = {
    "idle_session_timeout": f"{LEASE_SECONDS}s",
    "tcp_keepalives_idle": f"{LEASE_SECONDS // 2}",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "5",
    "tcp_user_timeout": f"{LEASE_SECONDS * 1000}",
}

_NOW = "extract(epoch FROM clock_timestamp())::float8"
_STARTED = "extract(epoch FROM backend_start)::float8"

_MAKE_ROW = text(
    "INSERT INTO drain_leases (name, epoch, holder, expires_at) VALUES (:name, 0, '', 0)"
    " ON CONFLICT DO NOTHING"
)

# A holder with a session of its own has the lease as long as the session. Behind a pooler the
# session says nothing, and the expiry counts; one that is too far ahead was written before the
# clock of the server was set back. Another role's session is listed without its start.
# SKIP LOCKED, as a statement that waits would hold back vacuum, and the holder, while it does.
_TAKE_OVER = text(
    "UPDATE drain_leases SET epoch = epoch + 1, holder = :holder,"
    f" expires_at = {_NOW} + {LEASE_SECONDS},"
    " backend_pid = CASE WHEN :pooled THEN NULL ELSE pg_backend_pid() END,"
    f" backend_start = (SELECT {_STARTED} FROM pg_stat_activity"
    " WHERE NOT :pooled AND pid = pg_backend_pid())"
    " WHERE name = (SELECT name FROM drain_leases AS lease WHERE name = :name AND"
    " CASE WHEN backend_pid IS NULL"
    f" THEN expires_at NOT BETWEEN {_NOW} AND {_NOW} + {2 * LEASE_SECONDS}"
    " ELSE NOT EXISTS (SELECT FROM pg_stat_activity AS session"
    " WHERE session.pid = lease.backend_pid AND"
    " (session.backend_start IS NULL OR lease.backend_start IS NULL OR"
    " extract(epoch FROM session.backend_start)::float8 = lease.backend_start))"
    " END FOR UPDATE SKIP LOCKED)"
    " RETURNING epoch"
)

_RENEW = text(
    f"UPDATE drain_leases SET expires_at = {_NOW} + {LEASE_SECONDS}"
    " WHERE name = :name AND epoch = :epoch"
)

_GIVE_BACK = text("UPDATE drain_leases SET expires_at = 0 WHERE name = :name AND epoch = :epoch")


@dataclass(frozen=True)
class Term:
    """One holder's time with the lease of a sale. Each takeover makes the epoch one higher."""

    name: str
    epoch: int


class SqlDrainLease:
    """The right to decide orders, until another drain takes over."""

    def __init__(self, connection: AsyncConnection, term: Term | None = None) -> None:
        """Write on this connection. There is no `term` where nobody else can be: on SQLite."""
        self._connection = connection
        self._term = term

    def open_sink(self) -> SqlSink:
        """Return the sink that writes under this lease."""
        return SqlSink(self.transaction)

    async def touch(self) -> None:
        """Keep the lease while there is nothing to do. Raises `LedgerUnavailable`."""
        async with self.transaction():
            pass

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that holds the lease, committed at the end.

        It locks the row of the lease, so nobody takes over before it has ended. Raises
        `LedgerError`, of which `LedgerUnavailable` if the lease is lost.
        """
        with named_errors():
            if self._connection.invalidated:
                # SQLAlchemy would connect again: to a session that does not hold the lease.
                raise LedgerUnavailable("the session of this drain is lost")
            async with self._connection.begin():
                if self._term is not None:
                    renewed = await self._connection.execute(_RENEW, vars(self._term))
                    if renewed.rowcount != 1:
                        raise LedgerUnavailable("the lease of this drain is lost")
                yield self._connection


@asynccontextmanager
async def hold_only_drain(engine: AsyncEngine) -> AsyncIterator[SqlDrainLease]:
    """Be the drain of a SQLite file: it serves one process, and a process has one drain."""
    async with engine.connect() as connection:
        yield SqlDrainLease(await connection.execution_options(flashsale_writes=True))


@asynccontextmanager
async def hold_drain(
    database: Postgres, engine: AsyncEngine, name: str
) -> AsyncIterator[SqlDrainLease]:
    """Wait until nobody else drains the sale of that name, then be its only drain.

    The lease is given back by `engine`. Raises `LedgerError`.
    """
    session = database.single("drain", _TRANSACTION, _SESSION)
    with named_errors():
        connection = await session.connect()
    pooled, term = False, None
    try:
        with named_errors():
            pooled = await behind_pooler(connection)
            term = await _take_over(connection, name, pooled)
        yield SqlDrainLease(connection, term)
    finally:
        # Ends the session, whatever state it is in, and with it the lease of one of our own.
        await asyncio.shield(_end(connection))
        if pooled and term is not None:
            await asyncio.shield(_give_back(engine, term))
        await session.dispose()


async def _take_over(connection: AsyncConnection, name: str, pooled: bool) -> Term:
    holder = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
    async with connection.begin():
        await connection.execute(_MAKE_ROW, {"name": name})
    while True:
        async with connection.begin():
            epoch = await connection.scalar(
                _TAKE_OVER, {"name": name, "holder": holder, "pooled": pooled}
            )
        if epoch is not None:
            return Term(name, epoch)
        await asyncio.sleep(_RETRY_SECONDS)


async def _give_back(engine: AsyncEngine, term: Term) -> None:
    try:
        async with asyncio.timeout(_RELEASE_SECONDS), writing(engine) as connection:
            await connection.execute(_GIVE_BACK, vars(term))
    except (LedgerError, TimeoutError):
        return  # then it expires by itself


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
