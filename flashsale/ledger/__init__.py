"""The ledger: PostgreSQL or SQLite by SQLAlchemy."""

from flashsale.ledger.books import Books
from flashsale.ledger.drain import Drain
from flashsale.ledger.effects import EffectBook, Effects, Journey
from flashsale.ledger.errors import (
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SchemaOutdated,
)
from flashsale.ledger.ledger import Buyer, Ledger, open_ledger
from flashsale.ledger.outbox import Outbox

__all__ = [
    "Books",
    "Buyer",
    "Drain",
    "EffectBook",
    "Effects",
    "Journey",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerRefused",
    "LedgerUnavailable",
    "Outbox",
    "SchemaOutdated",
    "open_ledger",
]
