"""Errors of the database, one class for each remedy."""

from flashsale.domain.errors import FlashsaleError


class LedgerError(FlashsaleError):
    """A request to the ledger failed."""


class LedgerUnavailable(LedgerError):
    """The database or the session is lost. Connect again; a commit may have happened."""


class StatementRefused(LedgerUnavailable):
    """The database answers, but refuses a statement: a right is missing, or it only reads."""


class StatementCancelled(StatementRefused):
    """The database has cancelled a statement, as it does after its `statement_timeout`."""


class LedgerBusy(LedgerError):
    """Nothing was written, for a temporary reason (deadlock, lock, full disk). Try again."""


class LedgerRefused(LedgerError):
    """Nothing was written, and a repeated attempt would fail again."""


class ChangedMeanwhile(LedgerError):
    """Nothing was changed: somebody else has changed it since the version that was asked for."""


class SaleHasSold(LedgerRefused):
    """Nothing was deleted: the sale has sold something, or decided orders name it."""


class SaleUnknown(LedgerError):
    """Nothing was changed: there is no sale of this sku."""


class EndpointUnknown(LedgerError):
    """Nothing was changed: there is no webhook endpoint of this id."""


class KeyTaken(LedgerError):
    """Nothing was changed: the idempotency key belongs to another request."""


class ControlsChanged(LedgerError):
    """Nothing was written, as the controls have changed. Follow them, and begin the batch again."""


class SchemaRefused(LedgerError):
    """The schema can't be used: a right is missing, or it has tables of another program."""


class SchemaOutdated(LedgerError):
    """The tables are not those of this version, and can be upgraded."""


class SchemaUnknown(LedgerError):
    """The tables are those of a later version, or nobody knows of which."""
