"""Connections to SQLite, whose calls run inline by private hooks of aiosqlite."""

import sqlite3
import threading
from functools import partial

import pytest

from flashsale.ledger.sql.engines.sqlite import InlineConnection

IN_MEMORY = partial(sqlite3.connect, ":memory:", check_same_thread=False)


async def test_a_connection_opens_without_a_point_where_its_task_may_be_cancelled() -> None:
    """A task that was cancelled there left the connection open; Python 3.13 warns of it."""
    with pytest.raises(StopIteration) as opened:
        next(InlineConnection(IN_MEMORY, iter_chunk_size=64).__await__())
    connection: InlineConnection = opened.value.value
    await connection.close()


async def test_a_call_runs_in_the_thread_of_its_caller() -> None:
    async with InlineConnection(IN_MEMORY, iter_chunk_size=64) as connection:
        await connection.create_function("thread", 0, threading.get_ident)
        [row] = await connection.execute_fetchall("SELECT thread()")
    assert row[0] == threading.get_ident()


async def test_a_connection_that_can_not_open_leaves_no_thread() -> None:
    before = threading.active_count()
    nowhere = InlineConnection(partial(sqlite3.connect, "/nowhere/a.db"), iter_chunk_size=64)
    with pytest.raises(sqlite3.OperationalError):
        await nowhere
    nowhere._thread.join(10)
    assert threading.active_count() == before
