"""The port of a receiver: the order service of a shop, to which orders are delivered."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from flashsale.domain.delivery.answers import Answer
from flashsale.domain.orders import Order


class Parcel(msgspec.Struct, frozen=True):
    """One order on its way to a receiver."""

    order: Order
    decided: bool
    """Whether the order is confirmed, and the receiver is only told; else the receiver decides."""
    maybe_known: bool = False
    """Whether the receiver may have the order from an attempt whose outcome is unknown."""
    traceparent: str | None = None


class Receiver(Protocol):
    """Takes orders over the network."""

    async def send(self, parcels: Sequence[Parcel]) -> Sequence[Answer]:
        """Send orders in one request; return the answers in the same order.

        Whatever the network or the receiver does is an answer, within a bounded time and memory.
        """
