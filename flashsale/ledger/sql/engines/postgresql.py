"""PostgreSQL as the ledger needs it."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from flashsale.ledger.sql.engines.address import PostgresAddress
from flashsale.ledger.sql.engines.sessions import PooledConnection, Sessions

OWN_SCHEMA = "flashsale"

_COMMAND_SECONDS = 30
_CONNECTIONS = 10  # enough for gateway, relay and all services in one process
_IDLE_SECONDS = 1.0

# While the tables are empty, PostgreSQL would plan a scan and keep that plan, which would cost more
# with every order.
_BY_KEY = {"enable_seqscan": "off"}

# Not `jit = off`: asyncpg would take that for the setting of the session, and leave it behind in
# the pooler's session.
_NO_JIT = {"jit_above_cost": "-1"}


@dataclass(frozen=True)
class Postgres:
    """A database in PostgreSQL, reached directly or through a pooler."""

    address: PostgresAddress
    schema: str = OWN_SCHEMA
    """Names without a schema in any statement, also those of services, are names in this one."""

    def engine(self) -> AsyncEngine:
        """Return an engine for queries of any kind."""
        return self._pool({})

    def by_key(self) -> AsyncEngine:
        """Return an engine for queries that read by key only."""
        return self._pool(_BY_KEY)

    def single(
        self, purpose: str, transaction: Mapping[str, str], session: Mapping[str, str]
    ) -> AsyncEngine:
        """Return an engine without a pool, for queries that read by key only.

        `purpose` is part of the name of its sessions. `transaction` is set for each transaction,
        and `session` for each session, but not behind a pooler.
        """
        sessions = self._sessions({**_BY_KEY, **transaction}, session, purpose)
        return self._engine(sessions, poolclass=NullPool)

    def _pool(self, transaction: Mapping[str, str]) -> AsyncEngine:
        sessions = self._sessions(transaction, {}, command_timeout=_COMMAND_SECONDS)
        engine = self._engine(sessions, pool_size=_CONNECTIONS, max_overflow=0)
        _ping_idle_connections(engine)
        return engine

    def _sessions(
        self,
        transaction: Mapping[str, str],
        session: Mapping[str, str],
        purpose: str = "",
        **parameters: Any,
    ) -> Sessions:
        name = f"{self.address.application_name} {purpose}".strip()
        return Sessions(
            self.address.hosts,
            {
                **self.address.parameters,
                "server_settings": {"application_name": name, **self.address.startup},
                **parameters,
            },
            {"search_path": self.schema, **_NO_JIT, **transaction},
            session,
        )

    def _engine(self, sessions: Sessions, **pool: Any) -> AsyncEngine:
        # The role or the database may have a stricter default. The statements lock what they
        # change, and stricter transactions would fail, and be repeated, instead of waiting.
        engine = create_async_engine(
            "postgresql+asyncpg://", isolation_level="READ COMMITTED", **pool
        )

        @event.listens_for(engine.sync_engine, "do_connect")
        def on_connect(dialect: Any, *_: object) -> Any:
            return sessions.connect(dialect)

        return engine


async def behind_pooler(connection: AsyncConnection) -> bool:
    """Return whether each transaction of the connection may run in another session."""
    driver = (await connection.get_raw_connection()).driver_connection
    # `isinstance` is true for each connection, because of asyncpg's metaclass.
    return issubclass(type(driver), PooledConnection)


def _ping_idle_connections(engine: AsyncEngine) -> None:
    """Ping a connection before it is used, unless it was used within the last second.

    SQLAlchemy's `pool_pre_ping` pings every time, in three round trips: as many as a small
    transaction needs.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def on_checkin(_: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def on_checkout(connection: Any, record: Any, _: object) -> None:
        alive = not connection.driver_connection.is_closed()
        used_at = record.info.get("used_at", math.inf)
        if alive and used_at < time.monotonic() - _IDLE_SECONDS:
            try:
                alive = engine.dialect.do_ping(connection)
            except engine.dialect.dbapi.Error:  # type: ignore[union-attr]
                alive = False
        if not alive:
            # The pool discards this connection and opens another one.
            raise exc.DisconnectionError
