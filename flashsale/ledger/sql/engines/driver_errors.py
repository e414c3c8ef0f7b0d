"""The errors of the database drivers, turned into those of the ledger."""

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
_STATEMENT_POOLING = "transaction blocks not allowed in statement pooling mode"  # of PgBouncer
_LOST_OF_THESE = ("53300",)  # too many connections: there is no session at all


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except DBAPIError as error:
        raise _named(error) from error
    except (OSError, SQLAlchemyError) as error:
        raise LedgerUnavailable(_in_words(error)) from error


def _named(error: DBAPIError) -> LedgerError:
    words = _in_words(error.orig or error)
    if _STATEMENT_POOLING in words:
        return LedgerUnavailable(
            "the pooler in front of the database pools statements, which allows no transaction:"
            " set its pool_mode to transaction or session"
        )
    state = getattr(error.orig, "sqlstate", None) or ""
    if error.connection_invalidated or state in _LOST_OF_THESE:
        return LedgerUnavailable(words)
    if state[:2] in _REFUSED_CLASSES:
        return LedgerRefused(words)
    if state[:2] in _BUSY_CLASSES:
        return LedgerBusy(words)
    if "no such table" in words or state == "42P01":
        return SchemaOutdated(words)
    if "locked" in words or "disk is full" in words:  # SQLite knows no codes
        return LedgerBusy(words)
    if type(error).__name__ in ("DataError", "IntegrityError"):
        return LedgerRefused(words)
    return LedgerUnavailable(words)


def _in_words(error: BaseException) -> str:
    text = str(error).partition("\n")[0].removeprefix("<class '").replace("'>: ", ": ")
    return text or type(error).__name__
