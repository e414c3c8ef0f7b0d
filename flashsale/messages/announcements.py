"""What gateways hear over the fanout exchange: what arrives, is taken and is decided."""

import msgspec

from flashsale.domain.order_states import Status
from flashsale.messages.codec import decoder


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """An order that a gateway has taken, its confirm in hand."""

    id: str
    sku: str
    quantity: int


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """What became of an order. Of a failed one only the id may be known."""

    id: str
    status: Status
    reason: str | None
    sku: str
    quantity: int


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a sale is sold."""

    sku: str
    stock: int
    sold: int


class OrdersTaken(msgspec.Struct, frozen=True, array_like=True, tag="taken"):
    """Orders that a gateway took lately, in their order. The message's id is the gateway's name."""

    orders: list[Taken]


class Arrivals(msgspec.Struct, frozen=True, array_like=True, tag="arrivals"):
    """Orders that arrived at a gateway in the second that ends at `at`, Unix time.

    What was not accepted was refused: as the queue was full, or for any other reason. The
    message's id is the gateway's name.
    """

    at: int
    arrived: int
    accepted: int
    queue_full: int
    turned_away: int


class BatchDecided(msgspec.Struct, frozen=True, array_like=True, tag="decided"):
    """A batch that was decided, and how fast the drain is, in orders/s.

    `drained_per_second` is the measurement. `drain_rate` is the limit in force; a consumer of
    version 0.1.0 does not tell it.
    """

    decisions: list[Decision]
    sales: list[Progress]
    drained_per_second: float
    drain_rate: int | None = None


Announcement = OrdersTaken | Arrivals | BatchDecided

encode_announcement = msgspec.msgpack.Encoder().encode
decode_announcement = decoder(msgspec.msgpack.Decoder(OrdersTaken | Arrivals | BatchDecided))
