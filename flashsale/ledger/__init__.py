"""The ledger: its port, its errors, and `open_ledger`."""

from flashsale.ledger.balance_report import Books
from flashsale.ledger.drain_port import (
    LEASE_SECONDS,
    BeforeCommit,
    ControlBoard,
    ControlReader,
    DrainLease,
    Leases,
    Sink,
    at_once,
)
from flashsale.ledger.effects import Effects, Journey
from flashsale.ledger.errors import (
    ChangedMeanwhile,
    ControlsChanged,
    KeyTaken,
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    SaleHasSold,
    SaleUnknown,
    SchemaOutdated,
    SchemaRefused,
    SchemaUnknown,
    StatementCancelled,
    StatementRefused,
)
from flashsale.ledger.holdings import Decided, Holdings, Tally
from flashsale.ledger.order_pages import DecidedOrder, OrderQuery
from flashsale.ledger.outbox_events import Relayed, Send, Unsent
from flashsale.ledger.port import (
    Audit,
    AuditLog,
    EffectStore,
    Ledger,
    ManagedSales,
    OrderPages,
    Orders,
    Outbox,
    Rankings,
    Sales,
    Schema,
)
from flashsale.ledger.rankings import Buyer, RankingQuery
from flashsale.ledger.sql.engines.address import postgres_address
from flashsale.ledger.sql.engines.postgresql import OWN_SCHEMA
from flashsale.ledger.sql.ledger import open_ledger
from flashsale.ledger.totals import Totals

__all__ = [
    "LEASE_SECONDS",
    "OWN_SCHEMA",
    "Audit",
    "AuditLog",
    "BeforeCommit",
    "Books",
    "Buyer",
    "ChangedMeanwhile",
    "ControlBoard",
    "ControlReader",
    "ControlsChanged",
    "Decided",
    "DecidedOrder",
    "DrainLease",
    "EffectStore",
    "Effects",
    "Holdings",
    "Journey",
    "KeyTaken",
    "Leases",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerRefused",
    "LedgerUnavailable",
    "ManagedSales",
    "OrderPages",
    "OrderQuery",
    "Orders",
    "Outbox",
    "RankingQuery",
    "Rankings",
    "Relayed",
    "SaleHasSold",
    "SaleUnknown",
    "Sales",
    "Schema",
    "SchemaOutdated",
    "SchemaRefused",
    "SchemaUnknown",
    "Send",
    "Sink",
    "StatementCancelled",
    "StatementRefused",
    "Tally",
    "Totals",
    "Unsent",
    "at_once",
    "open_ledger",
    "postgres_address",
]
