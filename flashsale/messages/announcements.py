"""Announcements on the fanout exchange: arrivals, accepted orders and decisions."""

import msgspec

from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.messages.codec import decoder


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """An order that a gateway has accepted after the broker's confirm.

    `customer_id` is whose order it is. It is None from a gateway that checks no tokens.
    """

    id: str
    sku: str
    quantity: int
    customer_id: str | None = None


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """The decision on an order, and the contents that were decided.

    A failed order may have an id only. `remaining` is how many items were left if those were not
    enough; a consumer of version 0.1.0 does not send it. `customer_id` is whose order it is. It is
    None from a consumer without the keys of tokens, as nobody asks for it then.
    """

    id: str
    status: Status
    reason: str | None
    sku: str
    quantity: int
    remaining: int | None = None
    customer_id: str | None = None


def decision_on(outcome: Outcome, *, owner: bool = True) -> Decision:
    """Return the decision that an outcome stands for; with `owner` it says whose order it is."""
    order = outcome.order
    return Decision(
        order.id,
        outcome.status,
        outcome.reason,
        order.sku,
        order.quantity,
        outcome.remaining,
        (order.customer_id or None) if owner else None,
    )


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """The stock of a sale, and the items sold."""

    sku: str
    stock: int
    sold: int


class OrdersTaken(msgspec.Struct, frozen=True, array_like=True, tag="taken"):
    """Orders that a gateway accepted, in order. The message id is the gateway's name."""

    orders: list[Taken]


class Arrivals(msgspec.Struct, frozen=True, array_like=True, tag="arrivals"):
    """Orders that arrived at a gateway in the second that ends at Unix time `at`.

    `queue_full` counts orders refused because the queue was full, `turned_away` all other refused
    orders. The message id is the gateway's name.
    """

    at: int
    arrived: int
    accepted: int
    queue_full: int
    turned_away: int


class BatchDecided(msgspec.Struct, frozen=True, array_like=True, tag="decided"):
    """A decided batch, and the rate of the drain in orders a second.

    `drained_per_second` is the measurement. `drain_rate` is the limit in force. `told_at` is the
    Unix time of this announcement by the drain's clock, `paused` is whether an operator has paused
    the drain. `rate_cap` is the highest limit, and `rate_reason` tells why an adaptive limit is
    what it is. They are None from a consumer of version 0.1.0. While it decides nothing, the drain
    announces empty batches, each half a second after the last one.
    """

    decisions: list[Decision]
    sales: list[Progress]
    drained_per_second: float
    drain_rate: int | None = None
    told_at: float | None = None
    paused: bool | None = None
    rate_cap: int | None = None
    rate_reason: str | None = None


class TermsChanged(msgspec.Struct, frozen=True, array_like=True, tag="terms"):
    """An operator has changed the controls of the drain or a sale: read them again."""


class ClientsSeen(msgspec.Struct, frozen=True, array_like=True, tag="clients"):
    """How many requests of each client a gateway has allowed: orders, and reads.

    The clients are the keys that the gateways make of addresses and customers.
    """

    orders: dict[bytes, int]
    reads: dict[bytes, int]


Announcement = OrdersTaken | Arrivals | BatchDecided | TermsChanged | ClientsSeen

encode_announcement = msgspec.msgpack.Encoder().encode
decode_announcement = decoder(msgspec.msgpack.Decoder(Announcement))
