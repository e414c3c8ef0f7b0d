"""The ledger as the other rooms see it: small protocols, and one that is made of them.

Every method may raise `LedgerError`: `LedgerUnavailable` if the database is gone, and the errors
that a method names.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlalchemy import MetaData

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, Verdict
from flashsale.ledger.books import Books
from flashsale.ledger.effects import Effects, Journey
from flashsale.ledger.holdings import Holdings
from flashsale.ledger.rankings import Buyer, RankingQuery
from flashsale.ledger.totals import Totals
from flashsale.ledger.unsent import Relayed, Send

LEASE_SECONDS = 10
"""How long a frozen drain keeps its lease. A drain that has nothing to do touches it earlier."""


class Sales(Protocol):
    """The sales there are."""

    async def create_sale(self, sale: Sale) -> None:
        """Add a sale. Raises `LedgerRefused` if there is one of this sku."""

    async def sales(self) -> list[Sale]:
        """Return all sales, by sku."""


class Orders(Protocol):
    """What became of orders."""

    async def find(self, order_ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        """Return what was decided about these orders, as far as anything was."""

    async def outcomes(self, sku: str) -> dict[str, Outcome]:
        """Return every decided order of a sale, and every failed one, by id."""


class Sink(Protocol):
    """What a drain delivers its batches to."""

    @property
    def steps(self) -> Mapping[str, float]:
        """Seconds that each step of the last batch took."""

    async def sell(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
    ) -> Verdict:
        """Decide a batch at Unix time `now`; the same batch again gives the same outcomes.

        Those `replayed` had failed, and an operator has them tried again. `traceparents`, by order
        id, are the traces that the events of traced orders will be part of. Raises `LedgerBusy` or
        `LedgerRefused`, when nothing was written, or `LedgerUnavailable`, when it may have been.
        """

    async def fail(self, order_id: OrderId, reason: str, now: float) -> None:
        """Record that an order could not be decided, unless it was. Raises as `sell` does."""


class DrainLease(Protocol):
    """The right to drain a sale. Whoever has lost it can write no outcome."""

    def open_sink(self) -> Sink:
        """Return the ledger's own sink, which can write only while this lease is held."""

    async def touch(self) -> None:
        """Keep the lease while there is nothing to do, at least once in `LEASE_SECONDS`."""


class Leases(Protocol):
    """Leases of the right to drain, one at a time for each name."""

    def hold_drain(self, name: str) -> AbstractAsyncContextManager[DrainLease]:
        """Wait until nobody else drains the sale of that name, then be its only drain."""


class Outbox(Protocol):
    """Events that were written with their orders, until the broker has them."""

    async def relay(self, limit: int, until: float, send: Send) -> Relayed:
        """Send up to `limit` of the oldest unsent events, and record what the broker has.

        `until` is the latest moment at which they were decided, in Unix seconds. Dying after `send`
        leaves them unsent: they are sent again, under the same ids.
        """

    async def prune(self, before: float) -> int:
        """Delete some of the events that were made and sent before that moment; return how many.

        The count is kept, so that the books still balance.
        """

    async def send_again(self, services: int) -> int:
        """Take for unsent what fewer than so many services have done; return how many events."""


class EffectStore(Protocol):
    """Which service has done which event."""

    async def create_tables(self, tables: MetaData) -> None:
        """Create those of a service's own tables that are missing."""

    async def done(self, service: str, event_ids: Collection[str]) -> set[str]:
        """Return those of these events that the service has done."""

    async def take_effect(self, service: str, wanted: Sequence[Effects]) -> int:
        """Apply in one transaction what is not done yet; return of how many events.

        Raises `LedgerBusy` or `LedgerRefused`, when nothing was written.
        """

    async def journeys(self, sku: str) -> list[Journey]:
        """Return one for every confirmed order of a sale that a service has done anything for."""


class Rankings(Protocol):
    """The top buyers of sales, as a service has ranked them."""

    async def top_buyers(self, query: RankingQuery, sku: str, at_most: int) -> list[Buyer]:
        """Return the top buyers of a sale; nobody if the service has no table yet."""


class Audit(Protocol):
    """What the promises are held against."""

    async def audit(self) -> Books:
        """Go through the books, all tables as they are at one moment."""

    async def holdings(
        self, skus: Collection[str], totals: Mapping[str, Totals] | None = None
    ) -> Holdings:
        """Return what is to be judged of these sales, and of the books as a whole.

        `totals`, by service, are the figures that services add up.
        """


class Schema(Protocol):
    """The tables' version."""

    async def migrate(self) -> str:
        """Bring the tables to this version; return the revision they are at then."""

    async def verify_schema(self) -> None:
        """Raise `SchemaOutdated` unless the tables are those of this version."""


class Ledger(Sales, Orders, Leases, Rankings, Audit, Schema, Protocol):
    """The database behind the queue."""

    @property
    def outbox(self) -> Outbox:
        """The events that are to be sent."""

    @property
    def effects(self) -> EffectStore:
        """What the services have done."""

    async def secret(self) -> bytes:
        """Return the secret of the order ids: made by the first caller, the same for all after."""
