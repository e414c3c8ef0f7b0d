"""The one session that may write outcomes, and the lock that makes it the only one."""

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

# A drain that is stopped, or cut off, loses its session and with it lock and power to write:
# the lock and the writes are of one session, so there is no token to check and none to forget.
_SESSION = {
    "application_name": "flashsale drain",
    # Every read here is by key. At the start of a sale the tables are empty, and a plan that
    # scans them is cheapest; it would be kept, and cost more with every order sold.
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
    """The right to decide orders, for as long as its session lives."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def open_sink(self) -> SqlSink:
        """Return the sink that writes on the session of this lease."""
        return SqlSink(self.transaction)

    async def touch(self) -> None:
        """Keep the session alive while there is nothing to do. Raises `LedgerUnavailable`."""
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction on the session that holds the lock, committed at the end.

        Raises `LedgerError`, of which `LedgerUnavailable` if the session is lost.
        """
        with named_errors():
            if self._connection.invalidated:
                # SQLAlchemy would connect again: to a session that does not hold the lock.
                raise LedgerUnavailable("the session of this drain is lost")
            async with self._connection.begin():
                yield self._connection


@asynccontextmanager
async def hold_drain(engine: AsyncEngine, name: str) -> AsyncIterator[SqlDrainLease]:
    """Wait until nobody else drains the sale of that name, then be its only drain.

    Raises `LedgerUnavailable`.
    """
    if engine.dialect.name != "postgresql":
        # A SQLite file serves one process, and a process has one drain.
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
        # Ends the session, whatever state it is in, and frees the lock with it.
        await asyncio.shield(_end(connection))
        await session.dispose()


async def _lock(connection: AsyncConnection, name: str) -> None:
    key = int.from_bytes(hashlib.sha256(f"flashsale {name}".encode()).digest()[:8], signed=True)
    # Asked again and again, as a statement that waits would hold back vacuum while it does.
    ask = text("SELECT pg_try_advisory_lock(:key)").bindparams(bindparam("key", key))
    while True:
        with named_errors():
            async with connection.begin():
                if await connection.scalar(ask):
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
        return  # it had ended already
