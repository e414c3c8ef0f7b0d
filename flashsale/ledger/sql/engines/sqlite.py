"""The engine for SQLite, of the embedded mode."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import aiosqlite
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_BUSY_SECONDS = 5


class InlineConnection(aiosqlite.Connection):
    """Runs each call inline instead of sending it to a thread.

    A transaction makes about twenty calls. After each call in a thread, the event loop, which a
    spike keeps busy, takes milliseconds to go on, so a batch takes 100 ms; inline it takes 2 ms.
    The hooks are private, so pyproject.toml pins the series of releases, and tests check the hooks.
    """

    async def _connect(self) -> Self:
        # A task that is cancelled while a thread connects would leave the connection open.
        try:
            self._connection = self._connector()
        except BaseException:
            self.stop()
            raise
        return self

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)


def sqlite_engine(url: str) -> AsyncEngine:
    """Return an engine on a SQLite file, with many readers beside one writer (write-ahead log)."""
    connector = partial(
        sqlite3.connect,
        make_url(url).database or "",
        timeout=_BUSY_SECONDS,
        check_same_thread=False,  # aiosqlite's thread opens and closes it, this thread uses it
        isolation_level=None,  # `on_begin` below begins transactions
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
        # SQLite refuses a write in a transaction that began with a read if another one has written
        # since. So a transaction for writing takes the lock at its beginning.
        writes = connection.get_execution_options().get("flashsale_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
