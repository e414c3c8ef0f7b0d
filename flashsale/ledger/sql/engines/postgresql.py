"""PostgreSQL as the ledger needs it."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, exc, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from flashsale.ledger.sql.engines.sessions import PooledConnection, Sessions

_CONNECT_SECONDS = 5
_COMMAND_SECONDS = 30
_CONNECTIONS = 10  # with all in one process: gateway, relay and every service
_SURE_SECONDS = 1.0

# While tables are empty, scanning them is the cheapest plan; it would be kept, and cost more with
# every row.
_BY_KEY = {"enable_seqscan": "off"}

# Not `jit = off`: asyncpg would take it for what the session has, and leave it set in a session of
# a pooler.
_NO_JIT = {"jit_above_cost": "-1"}


@dataclass(frozen=True)
class Postgres:
    """One database of a PostgreSQL server, reached directly or through a pooler."""

    url: str

    def engine(self) -> AsyncEngine:
        """Return an engine for queries of any kind."""
        return self._pool({})

    def by_key(self) -> AsyncEngine:
        """Return an engine for those who read by key alone."""
        return self._pool(_BY_KEY)

    def single(
        self, purpose: str, transaction: Mapping[str, str], session: Mapping[str, str]
    ) -> AsyncEngine:
        """Return an engine without a pool, for reads by key, whose sessions are so named.

        `session` is set only where the session is our own: behind a pooler it is not.
        """
        sessions = self._sessions({**_BY_KEY, **transaction}, session, purpose)
        return self._engine(sessions, poolclass=NullPool)

    def _pool(self, transaction: Mapping[str, str]) -> AsyncEngine:
        sessions = self._sessions(transaction, {}, command_timeout=_COMMAND_SECONDS)
        engine = self._engine(sessions, pool_size=_CONNECTIONS, max_overflow=0)
        _ping_the_idle(engine)
        return engine

    def _sessions(
        self,
        transaction: Mapping[str, str],
        session: Mapping[str, str],
        purpose: str = "",
        **parameters: Any,
    ) -> Sessions:
        url = make_url(self.url)
        return Sessions(
            {
                **url.translate_connect_args(username="user"),
                "timeout": _CONNECT_SECONDS,
                "server_settings": {"application_name": f"flashsale {purpose}".strip()},
                **parameters,
            },
            {**_NO_JIT, **transaction},
            session,
        )

    def _engine(self, sessions: Sessions, **pool: Any) -> AsyncEngine:
        engine = create_async_engine(self.url, **pool)

        @event.listens_for(engine.sync_engine, "do_connect")
        def on_connect(dialect: Any, *_: object) -> Any:
            return sessions.connect(dialect)

        return engine


async def behind_pooler(connection: AsyncConnection) -> bool:
    """Return whether the session of the server may change with each transaction."""
    driver = (await connection.get_raw_connection()).driver_connection
    # asyncpg's metaclass takes every connection for an instance of any of its classes.
    return issubclass(type(driver), PooledConnection)


def _ping_the_idle(engine: AsyncEngine) -> None:
    """See that a connection still lives before it is used, unless it was used just now.

    SQLAlchemy's own `pool_pre_ping` asks every time, in three round trips: as many as a small
    transaction takes.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def on_checkin(_: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def on_checkout(connection: Any, record: Any, _: object) -> None:
        alive = not connection.driver_connection.is_closed()
        used_at = record.info.get("used_at", math.inf)
        if alive and used_at < time.monotonic() - _SURE_SECONDS:
            try:
                alive = engine.dialect.do_ping(connection)
            except engine.dialect.dbapi.Error:  # type: ignore[union-attr]
                alive = False
        if not alive:
            # The pool connects again, and asks no more of this one.
            raise exc.DisconnectionError
