"""How the database may fail us, told apart by what is to be done about it."""

from flashsale.domain.errors import FlashsaleError


class LedgerError(FlashsaleError):
    """The ledger did not do what it was asked."""


class LedgerUnavailable(LedgerError):
    """The database, or our session on it, is gone: connect again. A commit may have happened."""


class LedgerBusy(LedgerError):
    """Nothing was written, for a passing reason (deadlock, lock, full disk): the same again."""


class LedgerRefused(LedgerError):
    """Nothing was written, and the same would be refused again."""


class SchemaOutdated(LedgerError):
    """The tables are not those of this version."""
