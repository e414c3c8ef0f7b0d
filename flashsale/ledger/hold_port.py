"""The part of the ledger's port for holds: payments, cancellations and extensions.

Each method is one transaction, which locks the rows of the sales first, as each batch of a drain
does. So a payment, the end of its hold and a cancellation come one after the other, in any order.
None of them waits for a paused drain. All may be repeated: what has happened is not done again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flashsale.domain.audit_entries import Author
from flashsale.domain.holds.cancellations import CancelRefusal, ExtendRefusal
from flashsale.domain.holds.payments import Disposition, Payment, PaymentRefusal
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Verdict


@dataclass(frozen=True, slots=True)
class Due:
    """What the holds need of the drain."""

    changes: int = 0
    """Holds that are to end now, and orders in line that can be served, as far as counted."""
    next_at: float | None = None
    """When the next hold ends, its grace included, in Unix seconds."""
    holds: bool = False
    """Whether any sale has holds."""


@dataclass(frozen=True, slots=True)
class PaymentAnswer:
    """What became of one payment that was told."""

    payment: Payment
    result: Disposition | PaymentRefusal
    again: bool = False
    """Whether it was told of before. Then `result` is what the first one got."""


@dataclass(frozen=True, slots=True)
class PaymentsTaken:
    """The answers to some payments in their order, and the orders and sales that changed."""

    answers: list[PaymentAnswer]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A customer or an operator wants to cancel an order."""

    order_id: str
    queued: Order | None = None
    """The order as far as the gateway knows it, if it may still be queued.

    The customer may be empty. Without it an order that the ledger does not know is unknown.
    """
    customer_id: str | None = None
    """Whose order it must be; None for anybody's."""
    by_operator: bool = False
    author: Author | None = None
    """The operator whose change is audited, in the same transaction."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The order is cancelled."""

    outcome: Outcome
    verdict: Verdict
    again: bool = False
    """Whether it was cancelled before."""


@dataclass(frozen=True, slots=True)
class Extended:
    """The hold has another end."""

    outcome: Outcome


class Payments(Protocol):
    """Takes in what payment providers tell."""

    async def take_payments(self, payments: Sequence[Payment], now: float) -> PaymentsTaken:
        """Take in payments at Unix time `now`, in their order, in one transaction.

        A payment that is refused changes nothing, and hinders no other. Raises `LedgerBusy`,
        `LedgerRefused` or `LedgerUnavailable`: then nothing is written, or nobody knows.
        """


class Cancellations(Protocol):
    """Cancels orders, and extends holds, for the customers whose they are."""

    async def cancel(self, cancellation: Cancellation, now: float) -> Cancelled | CancelRefusal:
        """Cancel an order at Unix time `now`, one that is still queued, too.

        The drain then finds its outcome, and decides nothing. Raises the errors of `take_payments`,
        and `KeyTaken` if the author's key belongs to another request.
        """

    async def extend(
        self, order_id: str, now: float, customer_id: str | None = None
    ) -> Extended | ExtendRefusal:
        """Extend a hold by the time that the sale gives, once. See `Cancellation.customer_id`."""
