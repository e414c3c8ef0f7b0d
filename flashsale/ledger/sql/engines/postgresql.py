"""The engine for PostgreSQL."""

import math
import time
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_CONNECT_SECONDS = 5
_COMMAND_SECONDS = 30
_CONNECTIONS = 10  # enough for gateway, relay and all services in one process
_IDLE_SECONDS = 1.0


def postgres_engine(url: str, **session: str) -> AsyncEngine:
    """Return an engine whose sessions have the settings `session`.

    For queries by key, set `enable_seqscan="off"`. Otherwise PostgreSQL plans a scan while the
    tables are empty and keeps that plan, which costs more with every row.
    """
    engine = create_async_engine(
        url,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _COMMAND_SECONDS,
            "server_settings": {"application_name": "flashsale", "jit": "off", **session},
        },
    )
    _ping_idle_connections(engine)
    return engine


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
