"""Connect to PostgreSQL, directly or through a pooler such as PgBouncer.

A pooler gives a connection another session of the server for each transaction. What was set or
prepared in the session before is not there then, and the pooler refuses most startup parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

if TYPE_CHECKING:  # asyncpg's connection is generic in its stubs only
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection


class PooledConnection(_Connection):
    """A connection whose transactions may each run in another session of the server."""

    at_begin = ""
    """The statements that are sent together with each BEGIN."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Run a statement without a result. A BEGIN applies the settings in the same round trip."""
        if query.startswith("BEGIN"):
            query += self.at_begin
        return await super().execute(query, *args, timeout=timeout)


@dataclass
class Sessions:
    """How the connections of one engine are made."""

    parameters: Mapping[str, Any]
    """The arguments of `asyncpg.connect`."""
    transaction: Mapping[str, str]
    """The settings of every transaction."""
    session: Mapping[str, str] = field(default_factory=dict)
    """The settings that only a session of our own can have."""
    pooled: bool = False
    """Whether a pooler was found between us and the server."""

    def connect(self, dialect: Dialect) -> DBAPIConnection:
        """Return a new connection with its settings."""
        if not self.pooled:
            connection: Any = dialect.connect(**self.parameters)
            if connection.run_async(_is_own_session):
                settings = _assignments("SET", {**self.transaction, **self.session})
                connection.run_async(lambda driver: driver.execute(settings))
                return connection  # type: ignore[no-any-return]
            connection.close()
            self.pooled = True
        return dialect.connect(
            **self.parameters,
            connection_class=_with_settings(_assignments("SET LOCAL", self.transaction)),
            # The unnamed statement lasts as long as it is needed, inside one transaction. Named
            # ones would stay in the sessions of the pooler, and other clients meet them there.
            statement_cache_size=0,
            prepared_statement_cache_size=0,
            prepared_statement_name_func=lambda: "",
        )


async def _is_own_session(driver: _Connection) -> bool:
    """Return whether the server process is the one that was announced at the connect.

    A pooler announces a number of its own, by which it recognises a request to cancel. Only the
    count of rows is asked, as that needs no prepared statement.
    """
    counted = await driver.execute(f"SELECT WHERE pg_backend_pid() = {driver.get_server_pid()}")
    return counted == "SELECT 1"


def _assignments(command: str, settings: Mapping[str, str]) -> str:
    return "".join(f"{command} {name} TO '{value}';" for name, value in settings.items())


def _with_settings(statements: str) -> Callable[..., PooledConnection]:
    return type("PooledConnection", (PooledConnection,), {"at_begin": statements})
