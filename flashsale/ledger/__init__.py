"""The ledger: PostgreSQL or SQLite by SQLAlchemy."""

from flashsale.ledger.errors import (
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SchemaOutdated,
)
from flashsale.ledger.sql.books import Books
from flashsale.ledger.sql.drain_lease import Drain
from flashsale.ledger.sql.effects import EffectBook, Effects, Journey
from flashsale.ledger.sql.ledger import Buyer, Ledger, open_ledger
from flashsale.ledger.sql.outbox import Outbox

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
