"""Translate errors of the database drivers to those of the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flashsale.ledger.errors import (
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SchemaOutdated,
    StatementCancelled,
    StatementRefused,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_REFUSED_CLASSES = ("22", "23")  # data exception, integrity constraint violation
_BUSY_CLASSES = ("40", "53", "55")  # rollback, insufficient resources, object not available
# Of a statement that is not ours: wrong in itself, or refused by a trigger or a check of its table.
_FOREIGN_CLASSES = ("0A", "21", "38", "39", "42", "44", "54", "P0")
_NO_RIGHT = "42501"  # whatever the statement, until somebody grants it
_SQLITE_FAULTS = ("syntax error", "no such column", "no such function", "has no column")
_NO_SESSION_CODES = ("53300",)  # too many connections
# Connection exception, invalid authorization, invalid catalog name, operator intervention, system
# error, internal error.
_LOST_CLASSES = ("08", "28", "3D", "57", "58", "XX")
_CANCELLED = "57014"
_ADVICE = {
    "25006": "the database or the role only reads: name the primary in the address, or several"
    " hosts with target_session_attrs=read-write",
    _CANCELLED: "the role or the database has a statement_timeout that is too short",
}
_STATEMENT_POOLING = "transaction blocks not allowed in statement pooling mode"  # of PgBouncer

# SQLAlchemy passes on as they are those that come while a session begins or ends, and errors of
# the driver's own state.
_OF_DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@contextmanager
def named_errors() -> Iterator[None]:
    """Raise a `LedgerError` in place of a driver's error."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(error) from error
    except (OSError, SQLAlchemyError, *_OF_DRIVER) as error:
        raise LedgerUnavailable(_message(error)) from error


@contextmanager
def refused_if_foreign() -> Iterator[None]:
    """Raise `LedgerRefused` if a statement that is not ours can never be executed.

    Other errors pass, as that of a lost connection. The event that brought such a statement would
    otherwise hold up all others.
    """
    try:
        yield
    except DBAPIError as error:
        if _is_at_fault(error):
            raise LedgerRefused(_message(error.orig or error)) from error
        raise
    except (SQLAlchemyError, TypeError, ValueError, OverflowError) as error:
        # A value is missing, or is none that the driver knows.
        raise LedgerRefused(_message(error)) from error


def _is_at_fault(error: DBAPIError) -> bool:
    if not isinstance(_translated(error), LedgerUnavailable) or error.connection_invalidated:
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state[:2] in _FOREIGN_CLASSES and state != _NO_RIGHT
    # asyncpg itself, and SQLite, have no codes.
    return type(error).__name__ in ("ProgrammingError", "InterfaceError") or any(
        fault in str(error.orig) for fault in _SQLITE_FAULTS
    )


def _translated(error: DBAPIError) -> LedgerError:
    message = _message(error.orig or error)
    if _STATEMENT_POOLING in message:
        return LedgerUnavailable(
            "the pooler in front of the database pools statements and allows no transactions:"
            " set its pool_mode to transaction or session"
        )
    state = getattr(error.orig, "sqlstate", None) or ""
    if error.connection_invalidated or state in _NO_SESSION_CODES:
        return LedgerUnavailable(message)
    if state[:2] in _REFUSED_CLASSES:
        return LedgerRefused(message)
    if state[:2] in _BUSY_CLASSES:
        return LedgerBusy(message)
    if "no such table" in message or state == "42P01":
        return SchemaOutdated(message)
    if "locked" in message or "disk is full" in message:  # SQLite has no codes
        return LedgerBusy(message)
    if type(error).__name__ in ("DataError", "IntegrityError"):
        return LedgerRefused(message)
    if state and (state[:2] not in _LOST_CLASSES or state == _CANCELLED):
        advice = _ADVICE.get(state)
        refused = StatementCancelled if state == _CANCELLED else StatementRefused
        return refused(f"{message}: {advice}" if advice else message)
    return LedgerUnavailable(message)


def _message(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(error).partition("\n")[0].removeprefix("<class '").replace("'>: ", ": ")
    return text or type(error).__name__
