"""PostgreSQL as the ledger needs it."""

import math
import time
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_CONNECT_SECONDS = 5
_COMMAND_SECONDS = 30
_CONNECTIONS = 10  # with all in one process: gateway, relay and every service
_SURE_SECONDS = 1.0


def postgres_engine(url: str, **session: str) -> AsyncEngine:
    """An engine; `session` is what each of its sessions has set.

    While tables are empty, scanning them is the cheapest plan; it would be kept, and cost more
    with every row. Who reads by key alone sets `enable_seqscan="off"`.
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
    _ping_the_idle(engine)
    return engine


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
