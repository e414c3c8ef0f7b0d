"""Connect to PostgreSQL, directly or through a pooler such as PgBouncer.

A pooler runs each transaction of a connection in another session. Settings and prepared statements
of a session do not last, and the pooler refuses most startup parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

if TYPE_CHECKING:  # asyncpg's connection is generic in its stubs only
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

_TRY_NEXT_HOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TargetServerAttributeNotMatched,
)


class PooledConnection(_Connection):
    """A connection of which each transaction may run in another session."""

    at_begin = ""
    """Statements that are sent together with each BEGIN."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Run a statement. With a BEGIN, run `at_begin` in the same round trip."""
        if query.startswith("BEGIN"):
            query += self.at_begin
        return await super().execute(query, *args, timeout=timeout)


@dataclass
class Sessions:
    """The parameters and settings of the connections of an engine."""

    hosts: Sequence[tuple[str | None, int]]
    """Hosts and ports, which are tried in this order."""
    parameters: Mapping[str, Any]
    """The other arguments of `asyncpg.connect`."""
    transaction: Mapping[str, str]
    """Settings of each transaction."""
    session: Mapping[str, str] = field(default_factory=dict)
    """Settings of each session, without a pooler."""
    pooled: bool = False
    """Whether a connection has met a pooler."""

    def connect(self, dialect: Dialect) -> DBAPIConnection:
        """Return a new connection with its settings. It is called by SQLAlchemy."""
        if not self.pooled:
            connection = dialect.connect(async_creator_fn=self._open_session, **self.parameters)
            if not self.pooled:
                return connection
            dialect.do_terminate(connection)
        return dialect.connect(
            async_creator_fn=self._connect_first,
            **self.parameters,
            connection_class=_with_settings(_assignments("SET LOCAL", self.transaction)),
            # The unnamed statement lasts long enough. Named ones would stay in the sessions of the
            # pooler, and another client would meet them there.
            statement_cache_size=0,
            prepared_statement_cache_size=0,
            prepared_statement_name_func=lambda: "",
        )

    async def _open_session(self, **parameters: Any) -> _Connection:
        """Connect, and apply the settings of the session, or note that there is a pooler.

        SQLAlchemy translates the errors of this function, but not those of later calls of asyncpg.
        """
        driver = await self._connect_first(**parameters)
        try:
            if await _is_own_session(driver):
                await driver.execute(_assignments("SET", {**self.transaction, **self.session}))
            else:
                self.pooled = True
        except BaseException:
            driver.terminate()
            raise
        return driver

    async def _connect_first(self, **parameters: Any) -> _Connection:
        """Connect to the first host that answers, and that is as `target_session_attrs` says.

        asyncpg itself would share one timeout among all hosts.
        """
        *others, last = self.hosts
        for host, port in others:
            with suppress(*_TRY_NEXT_HOST):
                return await _connect(host, port, parameters)
        return await _connect(*last, parameters)


async def _connect(host: str | None, port: int, parameters: Mapping[str, Any]) -> _Connection:
    """Connect to one host. Raise only errors that SQLAlchemy or `named_errors` translates."""
    try:
        return await asyncpg.connect(host=host, port=port, **parameters)
    except (asyncpg.InterfaceError, OSError):  # some are also a ValueError
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # asyncpg stumbles over the answers of what is no PostgreSQL, and over names of hosts.
        raise ConnectionError(f"{host} is no PostgreSQL: {error!r}") from error


async def _is_own_session(driver: _Connection) -> bool:
    """Return whether the process id that came with the connection is that of the session.

    A pooler sends a number of its own, by which it recognises a request to cancel. The query has no
    parameters and its result is the number of rows, so it needs no prepared statement.
    """
    counted = await driver.execute(f"SELECT WHERE pg_backend_pid() = {driver.get_server_pid()}")
    return counted == "SELECT 1"


def _assignments(command: str, settings: Mapping[str, str]) -> str:
    return "".join(f"{command} {name} TO '{value}';" for name, value in settings.items())


def _with_settings(statements: str) -> Callable[..., PooledConnection]:
    return type("PooledConnection", (PooledConnection,), {"at_begin": statements})
