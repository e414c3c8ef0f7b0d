"""Announcements on the fanout exchange: arrivals, accepted orders and decisions."""

import msgspec

from flashsale.domain.order_states import DeliveryState, Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale, Verdict
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
    None from a consumer without the keys of tokens, as nobody asks for it then. `order_ref` and
    `delivery` are as in an `Outcome`. A confirmed order is announced again when they change.

    `expires_at` is when a hold ends, in Unix seconds. `place` is the number of an order in the
    waiting list of its sale: how many are before it depends on `Progress.line_head`.
    """

    id: str
    status: Status
    reason: str | None
    sku: str
    quantity: int
    remaining: int | None = None
    customer_id: str | None = None
    order_ref: str | None = None
    delivery: DeliveryState | None = None
    expires_at: float | None = None
    place: int | None = None
    extended: bool = False


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
        outcome.order_ref,
        outcome.delivery,
        outcome.expires_at,
        outcome.place,
        outcome.extended,
    )


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """The stock of a sale, the items sold and held, and its waiting list.

    `stock` is 0 if the stock is the shop's, as the version before knows no sale without one.
    """

    sku: str
    stock: int
    sold: int
    of_shop: bool = False
    sold_out: bool = False
    held: int = 0
    waiting: int = 0
    line_head: int = 1


def progress_of(sale: Sale) -> Progress:
    """Return how far a sale is sold."""
    return Progress(
        *(sale.sku, sale.stock or 0, sale.sold, sale.stock is None, sale.sold_out),
        *(sale.held, sale.waiting, sale.line_head),
    )


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
    what it is. They are None from a consumer of version 0.1.0. `resumes_at` is the Unix time until
    which the drain takes nothing, as the receiver of its orders fails or is busy. While it decides
    nothing, the drain announces empty batches, each half a second after the last one.
    """

    decisions: list[Decision]
    sales: list[Progress]
    drained_per_second: float
    drain_rate: int | None = None
    told_at: float | None = None
    paused: bool | None = None
    rate_cap: int | None = None
    rate_reason: str | None = None
    resumes_at: float | None = None


class OrdersMoved(msgspec.Struct, frozen=True, array_like=True, tag="moved"):
    """Orders that had a decision have another state: by a drain's timer, a payment, a shopper.

    A queued order that is cancelled is among them.
    """

    decisions: list[Decision]
    sales: list[Progress]


def orders_moved(verdict: Verdict, *, owners: bool = True) -> OrdersMoved:
    """Return the announcement of what has moved; with `owners` it says whose orders they are."""
    return OrdersMoved(
        [decision_on(outcome, owner=owners) for outcome in verdict.moved],
        [progress_of(sale) for sale in verdict.sales],
    )


class TermsChanged(msgspec.Struct, frozen=True, array_like=True, tag="terms"):
    """An operator has changed the controls of the drain or a sale: read them again."""


class ClientsSeen(msgspec.Struct, frozen=True, array_like=True, tag="clients"):
    """How many requests of each client a gateway has allowed: orders, and reads.

    The clients are the keys that the gateways make of addresses and customers.
    """

    orders: dict[bytes, int]
    reads: dict[bytes, int]


Announcement = OrdersTaken | Arrivals | BatchDecided | OrdersMoved | TermsChanged | ClientsSeen

encode_announcement = msgspec.msgpack.Encoder().encode
decode_announcement = decoder(msgspec.msgpack.Decoder(Announcement))
