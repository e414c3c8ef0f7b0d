"""An order in hand, from its beginning in the ledger to its end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from flashsale.broker import Delivery
from flashsale.domain.delivery.answers import Refused, Taken, TryAgain, Undeliverable
from flashsale.domain.delivery.attempts import Attempts
from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.ledger import Ended, LedgerRefused

# So many attempts may fail in a request with other orders.
_TOGETHER = 1

Written = tuple[Outcome | None, Sequence[Sale]]
"""The outcome of an order if the ledger has one, and sales after it."""


@dataclass(slots=True, eq=False)
class Shipment:
    """An order on its way to the receiver."""

    parcel: Parcel
    deliveries: list[Delivery] = field(default_factory=list)
    """What the queue has delivered of the order; several, if it is in the queue twice."""
    written: "asyncio.Future[Written] | None" = None
    """Ends when the end is written, for those who wait for it."""
    number: int = 0
    """Its place in the order of the queue."""
    attempts: Attempts = field(default_factory=Attempts)
    alone: bool = False
    """Whether it goes in a request of its own: one order must not be what others fail by."""
    answer: Taken | Refused | Undeliverable | None = None
    """What has become of it."""
    _made: int = 0

    @property
    def id(self) -> OrderId:
        """The id of the order, which is its key at the receiver."""
        return OrderId(self.parcel.order.id)

    def to_send(self) -> Parcel:
        """Return the parcel of the next attempt."""
        if self.attempts.maybe_known and not self.parcel.maybe_known:
            self.parcel = replace(self.parcel, maybe_known=True)
        return self.parcel

    def fail(self, answer: TryAgain, *, counts: bool) -> float | Undeliverable:
        """Note an attempt that decided nothing; return the seconds until the next, or the end."""
        after = self.attempts.fail(answer, counts=counts)
        self.alone |= self.attempts.failed > _TOGETHER
        return after

    def finish(self, answer: Taken | Refused | Undeliverable, *, more: int = 1) -> None:
        """Note what has become of it, after `more` attempts besides those that failed."""
        self.answer = answer
        self._made = self.attempts.failed + more

    @property
    def failure(self) -> str | None:
        """Why a finished order is a dead letter, None if it is none.

        A confirmed order that the receiver refuses is one, too: the customer has been promised it,
        and only a replay brings it to the receiver again.
        """
        match self.answer:
            case Undeliverable(reason):
                return reason
            case Refused(reason) if self.parcel.decided:
                return f"refused: {reason}"
            case _:
                return None

    def settled(self, outcome: Outcome | None, sales: Sequence[Sale]) -> None:
        """Tell who waits that the end is written."""
        if self.written is not None and not self.written.done():
            self.written.set_result((outcome, sales))

    def refused(self, error: LedgerRefused) -> None:
        """Tell who waits that the end can't be written."""
        if self.written is not None and not self.written.done():
            self.written.set_exception(error)

    def end(self) -> Ended:
        """Return the end as the ledger writes it. It must be finished."""
        assert self.answer is not None  # noqa: S101 by the contract
        parcel = self.parcel
        return Ended(parcel.order, parcel.decided, self.answer, self._made, parcel.traceparent)
