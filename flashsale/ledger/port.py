"""The port of the ledger: small protocols, and `Ledger`, which combines them.

Every method may raise `LedgerUnavailable`, and the errors that its docstring names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import MetaData

from flashsale.domain.audit_entries import PROGRAM, AuditEntry, Author
from flashsale.domain.operators.sale_changes import SaleChange
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger.balance_report import Books
from flashsale.ledger.drain_port import ControlBoard, DeliveryLease, Leases
from flashsale.ledger.effects import Effects, Journey
from flashsale.ledger.hold_port import Cancellations, Payments
from flashsale.ledger.holdings import Holdings
from flashsale.ledger.order_pages import DecidedOrder, OrderQuery
from flashsale.ledger.outbox_events import Relayed, Send
from flashsale.ledger.rankings import Buyer, RankingQuery
from flashsale.ledger.totals import Totals
from flashsale.ledger.webhook_port import WebhookBoard, WebhookQueue


class Sales(Protocol):
    """The sales of the shop."""

    async def create_sale(self, sale: Sale, author: Author = PROGRAM) -> Sale:
        """Add a sale, write the audit, and return the sale.

        A request that is repeated with its key gets what the first one made. Raises
        `LedgerRefused` if the sku has a sale already, or `KeyTaken`.
        """

    async def sales(self) -> list[Sale]:
        """Return all sales, sorted by sku."""


class ManagedSales(Sales, Protocol):
    """The sales of the shop, and the changes of operators."""

    async def create_sale(
        self,
        sale: Sale,
        author: Author = PROGRAM,
        check: Callable[[Sale, float], None] | None = None,
    ) -> Sale:
        """Add a sale as `Sales.create_sale` does, if `check` allows it.

        `check` gets the sale and the Unix time of the database, and raises `ChangeRefused`.
        """

    async def find_sale(self, sku: str) -> Sale:
        """Return a sale. Raises `SaleUnknown`."""

    async def change_sale(
        self, sku: str, change: SaleChange, author: Author, version: int | None = None
    ) -> Sale:
        """Change a sale, and write the audit, in one transaction; return the changed sale.

        `version` is the one that the operator saw, None for any. A request that is repeated with
        its key changes nothing, and gets what the first one made. Raises `SaleUnknown`,
        `ChangedMeanwhile`, `KeyTaken`, and what `change` raises.
        """

    async def delete_sale(self, sku: str, author: Author, version: int | None = None) -> None:
        """Delete a sale that never sold and that no decided order names; write the audit.

        Orders that wait in the queue are then rejected as `unknown_sku`. Raises `SaleUnknown`,
        `ChangedMeanwhile` or `SaleHasSold`.
        """


class Orders(Protocol):
    """The outcomes of orders."""

    async def find(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        """Return the outcomes of those of these orders that are decided."""

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        """Return every decided order of a sale, and every failed one, by id."""


class OrderPages(Protocol):
    """Lists of decided orders, for operators."""

    async def decided_orders(self, query: OrderQuery) -> list[DecidedOrder]:
        """Return the orders that the query asks for, the newest decision first."""


class AuditLog(Protocol):
    """The changes of operators. Nothing deletes them."""

    async def entries(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """Return up to `limit` entries, the newest first; only those before an id, if given."""

    async def earlier_result(
        self, author: Author, action: str, target: str, wanted: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return what a request with the author's idempotency key left behind, None if nothing.

        Raises `KeyTaken` if the key belongs to another request.
        """

    async def write(
        self,
        author: Author,
        action: str,
        target: str,
        wanted: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> None:
        """Write an entry about a change that was made elsewhere, as on the broker.

        `wanted` is what was asked for, by which a repeated request is recognised.

        It is in no transaction with the change: the caller says what a crash between the two means.
        """


class Outbox(Protocol):
    """Events that are written together with their orders and wait to be published."""

    async def relay(self, limit: int, until: float, send: Send) -> Relayed:
        """Send up to `limit` of the oldest unsent events, and mark the confirmed ones as sent.

        Only events of orders decided until `until`, in Unix seconds, are sent. After a crash
        between `send` and the mark, events are sent again under the same ids.
        """

    async def prune(self, before: float) -> int:
        """Delete some of the sent events created before `before`; return how many.

        `before` is in Unix seconds. The ledger keeps the count, so that the books still balance.
        """

    async def send_again(self, services: int) -> int:
        """Mark events as unsent that fewer than `services` have done; return how many."""


class EffectStore(Protocol):
    """The effects of services: which service has done which event."""

    async def create_tables(self, tables: MetaData) -> None:
        """Create the missing ones of a service's own tables."""

    async def done(self, service: str, event_ids: Collection[str]) -> set[str]:
        """Return the ids among `event_ids` of events that the service has done."""

    async def take_effect(self, service: str, wanted: Sequence[Effects]) -> int:
        """Apply the effects of events that are not done, in one transaction; return how many.

        Raises `LedgerBusy` or `LedgerRefused` if nothing was written.
        """

    async def journeys(self, sku: str) -> list[Journey]:
        """Return the journeys of the confirmed orders of a sale that any service has done."""


class Rankings(Protocol):
    """The top buyers of sales, from the table of a service."""

    async def top_buyers(self, query: RankingQuery, sku: str, at_most: int) -> list[Buyer]:
        """Return the top buyers of a sale; an empty list if the service has no table yet."""


class Audit(Protocol):
    """The figures that an audit needs."""

    async def audit(self) -> Books:
        """Check the rules of the books, on one snapshot of all tables."""

    async def holdings(
        self, skus: Collection[str], totals: Mapping[str, Totals] | None = None
    ) -> Holdings:
        """Return the contents of the ledger about these sales, on one snapshot of all tables.

        `totals` are the declared totals by service.
        """


class Schema(Protocol):
    """The version of the tables."""

    async def migrate(self, services: Sequence[MetaData] = ()) -> str:
        """Upgrade the tables to this version; return their revision."""

    async def verify_schema(self) -> None:
        """Raise `SchemaOutdated` unless the tables are at the revision of this version."""


class Ledger(
    ManagedSales,
    Orders,
    OrderPages,
    Payments,
    Cancellations,
    Leases[DeliveryLease],
    Rankings,
    Audit,
    Schema,
    Protocol,
):
    """The database behind the queue."""

    @property
    def outbox(self) -> Outbox:
        """The events that wait to be published."""

    @property
    def effects(self) -> EffectStore:
        """The effects of the services."""

    @property
    def controls(self) -> ControlBoard:
        """The controls of the drains."""

    @property
    def audit_log(self) -> AuditLog:
        """The changes of operators."""

    @property
    def webhooks(self) -> WebhookBoard:
        """The webhook endpoints."""

    @property
    def webhook_queue(self) -> WebhookQueue:
        """The deliveries to webhook endpoints."""

    async def secret(self) -> bytes:
        """Return the secret of the order ids. The first caller creates it."""
