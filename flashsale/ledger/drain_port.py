"""The part of the ledger's port that a drain needs: its lease, its sink and its controls.

Every method may raise `LedgerUnavailable`, and the errors that its docstring names.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import Controls
from flashsale.domain.holds.rule import Allowance
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict
from flashsale.domain.steady_clock import ClockReading
from flashsale.ledger.delivery_port import DeliveryBooks
from flashsale.ledger.hold_port import Due

LEASE_SECONDS = 10
"""How long a frozen drain keeps its lease. An idle drain touches its lease earlier."""


BeforeCommit = Callable[[], Awaitable[None]]


NOTHING_ELSE = Allowance()
"""A batch changes only its own orders."""


async def at_once() -> None:
    """Commit without a wait."""


class Sink(Protocol):
    """The target of the batches of a drain."""

    @property
    def steps(self) -> Mapping[str, float]:
        """The duration of each step of the last batch, in seconds."""

    async def sell(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
        allowance: Allowance = NOTHING_ELSE,
    ) -> Verdict:
        """Decide a batch at Unix time `now`. A repeated batch gets the same outcomes.

        The same transaction ends the holds that are due and serves the waiting lists, as far as
        `allowance` lets it change orders that were decided before. Raises `MoreChanges`, with
        nothing written, if the orders of the batch have to replace more open orders than that.

        `replayed` are the ids of failed orders that an operator has replayed. `traceparents` are
        written with the events of traced orders, by order id. Raises `LedgerBusy` or
        `LedgerRefused` if nothing was written, `LedgerUnavailable` if something may be written.
        Raises `ControlsChanged`, with nothing written, if the lease has read other controls.
        """

    async def fail(
        self, order_id: OrderId, reason: str, now: float, customer_id: str | None = None
    ) -> None:
        """Record an order as failed, unless it is decided, and whose it is, if that is known.

        Raises the errors of `sell`.
        """


class DrainLease(Protocol):
    """The right to drain a sale. After it is lost, its sink can't write."""

    kept_rate: float | None
    """The adaptive rate in orders/s, None for the highest; at first as the drain before left it.

    The next batch or `touch` writes it, and the drain after this one goes on with it.
    """

    def open_sink(self, before_commit: BeforeCommit = at_once) -> Sink:
        """Return a sink that can write only while this lease is held.

        Each of its transactions awaits `before_commit` when all is written, if the database lets
        others work meanwhile. It holds locks then.
        """

    @property
    def controls(self) -> Controls:
        """The controls as the latest batch or `touch` has read them."""

    @property
    def clock_reading(self) -> ClockReading | None:
        """The clock of the database as the latest batch or `touch` has read it."""

    async def touch(self) -> None:
        """Keep the lease while idle, and read the controls.

        Call this before the first batch, and at least once in `LEASE_SECONDS`.
        """

    async def due(self, now: float, most: int) -> Due:
        """Return what the holds need at Unix time `now`; count up to `most` changes."""


class DeliveryLease(DrainLease, Protocol):
    """The right to drain a sale, also for a drain that delivers its orders."""

    def open_deliveries(self, before_begun: BeforeCommit = at_once) -> DeliveryBooks:
        """Return the books of deliveries, which are written only while this lease is held.

        `before_begun` is waited for last in each transaction that begins deliveries.
        """


Lease = TypeVar("Lease", bound=DrainLease)
_Lease_co = TypeVar("_Lease_co", bound=DrainLease, covariant=True)


class Leases(Protocol[_Lease_co]):
    """Leases to drain. Each name has one holder at a time."""

    def hold_drain(self, name: str) -> AbstractAsyncContextManager[_Lease_co]:
        """Wait until no other drain holds the lease of that name, and hold it until the exit."""


class ControlReader(Protocol):
    """The controls of drains, as operators have set them."""

    async def read(self, name: str) -> Controls:
        """Return the controls of a drain as they are in force now."""


class ControlBoard(ControlReader, Protocol):
    """The controls of drains, which operators change."""

    async def change(
        self,
        name: str,
        action: str,
        change: Callable[[Controls, float], Controls],
        author: Author,
        version: int | None = None,
    ) -> Controls:
        """Change the controls of a drain, and write the audit, in one transaction.

        `change` gets the controls and the Unix time of the database. `version` is the one that the
        operator saw, None for any. Raises `ChangedMeanwhile`, and what `change` raises.
        """
