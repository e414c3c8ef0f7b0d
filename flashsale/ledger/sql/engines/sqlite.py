"""SQLite as the embedded ledger needs it."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import aiosqlite
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_BUSY_SECONDS = 5


class InlineConnection(aiosqlite.Connection):
    """Runs each call at once instead of sending it to a thread.

    A transaction is some twenty calls. Sent to a thread, each waits for a turn of an event loop
    that a spike keeps busy for milliseconds, and a batch takes a hundred of them; at once, all
    take two. The hook is private, so pyproject.toml pins the series and a test sees to it.
    """

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)


def sqlite_engine(url: str) -> AsyncEngine:
    """An engine on a SQLite file, many readers beside one writer (write-ahead log)."""
    connector = partial(
        sqlite3.connect,
        make_url(url).database or "",
        timeout=_BUSY_SECONDS,
        check_same_thread=False,  # opened and closed by aiosqlite's thread, used by ours
        isolation_level=None,  # SQLAlchemy's begin is ours to write, below
    )
    engine = create_async_engine(
        url, async_creator=lambda: InlineConnection(connector, iter_chunk_size=64)
    )

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        # A transaction that begins by reading and then writes is refused if another wrote
        # meanwhile: one that will write says so at its beginning.
        writes = connection.get_execution_options().get("flashsale_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
