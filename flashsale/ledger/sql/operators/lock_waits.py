"""How long a change of an operator waits for a row that somebody else has locked."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

CHANGE_SECONDS = 10
"""Longer than a batch of a drain may take."""


async def limit_waits(connection: AsyncConnection, seconds: int = CHANGE_SECONDS) -> None:
    """Let each statement of this transaction wait for a lock for at most `seconds`.

    SQLite has one writer, and a limit of its own.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))
