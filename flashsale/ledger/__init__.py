"""The ledger: PostgreSQL or SQLite by SQLAlchemy."""

from flashsale.ledger.books import Books
from flashsale.ledger.drain import Drain
from flashsale.ledger.errors import (
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SchemaOutdated,
)
from flashsale.ledger.ledger import Ledger, open_ledger

__all__ = [
    "Books",
    "Drain",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerRefused",
    "LedgerUnavailable",
    "SchemaOutdated",
    "open_ledger",
]
