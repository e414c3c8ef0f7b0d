"""The one session that may write outcomes, and the lock that makes it the only one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict
from flashsale.ledger.errors import LedgerUnavailable
from flashsale.ledger.sql.bulk import insert_columns
from flashsale.ledger.sql.driver_errors import named_errors
from flashsale.ledger.sql.sell import Steps, sell
from flashsale.ledger.sql.tables import orders

SESSION_SECONDS = 10
"""How long a frozen drain keeps its session, and so its lock."""

_LOCK_RETRY_SECONDS = 0.25

# A drain that is stopped, or cut off, loses its session and with it lock and power to write:
# the lock and the writes are of one session, so there is no token to check and none to forget.
_SESSION = {
    "application_name": "flashsale drain",
    # Every read here is by key. At the start of a sale the tables are empty, and a plan that
    # scans them is cheapest; it would be kept, and cost more with every order sold.
    "enable_seqscan": "off",
    "jit": "off",
    "idle_session_timeout": f"{SESSION_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{SESSION_SECONDS}s",
    "tcp_keepalives_idle": f"{SESSION_SECONDS // 2}",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "5",
    "tcp_user_timeout": f"{SESSION_SECONDS * 1000}",
}


class Drain:
    """The right to decide orders, for as long as its session lives."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.steps: Mapping[str, float] = {}
        """Seconds that each step of the last sale took."""

    async def sell(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
    ) -> Verdict:
        """Decide a batch in one transaction; see `flashsale.ledger.sql.sell.sell`.

        Those `replayed` had failed, and an operator has them tried again. `traceparents`, by order
        id, are what the events of traced orders will be part of. Raises `LedgerBusy` or
        `LedgerRefused`, when nothing was written, or `LedgerUnavailable`, when it may have been;
        the same batch again gives the same outcomes.
        """
        steps = Steps()
        async with self._transaction() as connection:
            verdict = await sell(connection, batch, now, replayed, traceparents, steps)
        steps.done("commit")
        self.steps = steps.seconds
        return verdict

    async def fail(self, order_id: OrderId, reason: str, now: float) -> None:
        """Record that an order could not be decided, unless it was. Raises as `sell` does."""
        async with self._transaction() as connection:
            known = await connection.execute(select(orders.c.id).where(orders.c.id == order_id))
            if known.first() is None:
                await insert_columns(
                    connection,
                    orders,
                    {
                        "id": [order_id],
                        "status": ["failed"],
                        # NUL is the one character that a text cannot hold.
                        "reason": [reason.replace("\0", "")],
                        "decided_at": now,
                    },
                )

    async def touch(self) -> None:
        """Keep the session alive while there is nothing to do. Raises `LedgerUnavailable`."""
        async with self._transaction() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with named_errors():
            if self._connection.invalidated:
                # SQLAlchemy would connect again: to a session that does not hold the lock.
                raise LedgerUnavailable("the session of this drain is lost")
            async with self._connection.begin():
                yield self._connection


@asynccontextmanager
async def hold_drain(engine: AsyncEngine, name: str) -> AsyncIterator[Drain]:
    """Wait until nobody else drains the sale of that name, then be its only drain.

    Raises `LedgerUnavailable`.
    """
    if engine.dialect.name != "postgresql":
        # A SQLite file serves one process, and a process has one drain.
        async with engine.connect() as connection:
            yield Drain(await connection.execution_options(flashsale_writes=True))
        return
    session = create_async_engine(
        engine.url, poolclass=NullPool, connect_args={"server_settings": _SESSION}
    )
    with named_errors():
        connection = await session.connect()
    try:
        await _lock(connection, name)
        yield Drain(connection)
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
