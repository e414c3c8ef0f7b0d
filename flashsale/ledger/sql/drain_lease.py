"""The lease of the drain: a session that holds an advisory lock and writes the outcomes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from flashsale.ledger.errors import LedgerUnavailable
from flashsale.ledger.port import LEASE_SECONDS
from flashsale.ledger.sql.engines.driver_errors import named_errors
from flashsale.ledger.sql.sink import SqlSink

_LOCK_RETRY_SECONDS = 0.25

# The lock and the writes belong to one session. A drain that is frozen or cut off loses the
# session, and with it the lock and the ability to write, so no fencing token is needed.
_SESSION = {
    "application_name": "flashsale drain",
    # Every read here is by key. While the tables are empty, PostgreSQL would plan a scan and keep
    # that plan, which would cost more with every order.
    "enable_seqscan": "off",
    "jit": "off",
    "idle_session_timeout": f"{LEASE_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{LEASE_SECONDS}s",
    "tcp_keepalives_idle": f"{LEASE_SECONDS // 2}",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "5",
    "tcp_user_timeout": f"{LEASE_SECONDS * 1000}",
}


class SqlDrainLease:
    """The right to decide orders, as long as the session lives."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def open_sink(self) -> SqlSink:
        """Return the sink that writes on the session of this lease."""
        return SqlSink(self.transaction)

    async def touch(self) -> None:
        """Keep the session alive while idle. Raises `LedgerUnavailable`."""
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction on the session that holds the lock, and commit it at the exit.

        Raises `LedgerError`: `LedgerUnavailable` if the session is lost.
        """
        with named_errors():
            if self._connection.invalidated:
                # SQLAlchemy would open another session, which does not hold the lock.
                raise LedgerUnavailable("the session of this drain is lost")
            async with self._connection.begin():
                yield self._connection


@asynccontextmanager
async def hold_drain(engine: AsyncEngine, name: str) -> AsyncIterator[SqlDrainLease]:
    """Wait until no other drain holds the lease of that name, and hold it until the exit.

    Raises `LedgerUnavailable`.
    """
    if engine.dialect.name != "postgresql":
        # One process uses a SQLite file, and a process has one drain.
        async with engine.connect() as connection:
            yield SqlDrainLease(await connection.execution_options(flashsale_writes=True))
        return
    session = create_async_engine(
        engine.url, poolclass=NullPool, connect_args={"server_settings": _SESSION}
    )
    with named_errors():
        connection = await session.connect()
    try:
        await _lock(connection, name)
        yield SqlDrainLease(connection)
    finally:
        # End the session in any state it is in, which frees the lock.
        await asyncio.shield(_end(connection))
        await session.dispose()


async def _lock(connection: AsyncConnection, name: str) -> None:
    key = int.from_bytes(hashlib.sha256(f"flashsale {name}".encode()).digest()[:8], signed=True)
    # Poll, since a statement that waits for the lock would hold back vacuum.
    try_lock = text("SELECT pg_try_advisory_lock(:key)").bindparams(bindparam("key", key))
    while True:
        with named_errors():
            async with connection.begin():
                if await connection.scalar(try_lock):
                    return
        await asyncio.sleep(_LOCK_RETRY_SECONDS)


async def _end(connection: AsyncConnection) -> None:
    try:
        with named_errors():
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if driver is not None:
                driver.terminate()
            await connection.invalidate()
            await connection.close()
    except LedgerUnavailable:
        return  # the session has ended already
