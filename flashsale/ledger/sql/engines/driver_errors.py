"""Translate errors of the database drivers to those of the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from flashsale.ledger.errors import (
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SchemaOutdated,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_REFUSED_CLASSES = ("22", "23")  # data exception, integrity constraint violation
_BUSY_CLASSES = ("40", "53", "55")  # rollback, insufficient resources, object not available
_NO_SESSION_CODES = ("53300",)  # too many connections
_STATEMENT_POOLING = "transaction blocks not allowed in statement pooling mode"  # of PgBouncer


@contextmanager
def named_errors() -> Iterator[None]:
    """Raise a `LedgerError` in place of a driver's error."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(error) from error
    except (OSError, SQLAlchemyError) as error:
        raise LedgerUnavailable(_message(error)) from error


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
    return LedgerUnavailable(message)


def _message(error: BaseException) -> str:
    text = str(error).partition("\n")[0].removeprefix("<class '").replace("'>: ", ": ")
    return text or type(error).__name__
