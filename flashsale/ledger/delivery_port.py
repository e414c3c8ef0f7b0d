"""The part of the ledger's port for orders that are delivered to a receiver.

If the stock of a sale is ours, `begin` decides its orders as a sink does, and a confirmed order is
then delivered: the delivery has states of its own. If the stock is the shop's, `begin` refuses what
the terms of the sale refuse, and `end` writes the decision of the receiver. Both are transactions
of the session that holds the lease of the drain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from flashsale.domain.delivery.answers import Refused, Taken, Undeliverable
from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch before its delivery."""

    verdict: Verdict
    """The outcomes that may be announced: of all orders that are decided by now."""
    parcels: list[Parcel]
    """What is to be delivered, in the order of the batch, each order once."""


class Ended(msgspec.Struct, frozen=True):
    """A delivery that came to its end."""

    order: Order
    decided: bool
    """Whether the order was confirmed before its delivery. See `Parcel.decided`."""
    answer: Taken | Refused | Undeliverable
    attempts: int
    traceparent: str | None = None


class DeliveryBooks(Protocol):
    """Writes what becomes of deliveries, while the lease is held.

    Both methods raise the errors of `Sink.sell`, and may be repeated: what is written already
    stays as it is.
    """

    async def begin(
        self,
        batch: Sequence[Order],
        now: float,
        replayed: Sequence[str] = (),
        traceparents: Mapping[str, str] | None = None,
        redelivered: Sequence[str] = (),
    ) -> Begun:
        """Begin the deliveries of a batch at Unix time `now`.

        An order whose delivery has ended is in the verdict only. `replayed` are the ids of orders
        whose failed delivery an operator has replayed: these are delivered again. `redelivered` are
        the ids of orders that come from the queue again: the receiver may have them, and so it
        decides even if it has meanwhile said that the sale is sold out.
        """

    async def end(self, ends: Sequence[Ended], now: float) -> Verdict:
        """Write the ends of deliveries; return the outcomes, as they are announced."""
