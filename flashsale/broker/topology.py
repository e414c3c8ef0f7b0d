"""What stands on the broker: the data that declares it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

ExchangeType = Literal["direct", "topic", "fanout"]
QueueType = Literal["classic", "quorum"]

# -1 says so only from 4.0 on: 3.10 drops a message that comes back for the first time.
_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: ExchangeType


@dataclass(frozen=True)
class Queue:
    """A durable queue. At `max_length` messages, if given, it refuses more (`reject-publish`).

    With `delay_seconds` it holds each message that long and then moves it to the queue `then`.
    A classic queue puts what it would drop into the queue `spills_to`, which is consumed with it.
    """

    name: str
    type: QueueType = "classic"
    max_length: int | None = None
    delay_seconds: float | None = None
    then: str | None = None
    spills_to: str | None = None

    @property
    def arguments(self) -> Mapping[str, str | int]:
        """The queue's `x-` arguments (https://www.rabbitmq.com/docs/maxlength)."""
        arguments: dict[str, str | int] = {"x-queue-type": self.type}
        if self.max_length is not None:
            arguments |= {"x-max-length": self.max_length, "x-overflow": "reject-publish"}
        if self.spills_to is not None and self.type == "classic":
            # What a consumer has in hand does not count towards the length. When the broker starts
            # again it is back in front of the queue, which may be too long then; and a classic
            # queue drops the surplus from its head, whatever its `x-overflow` says (seen on 3.10.8
            # and 4.0.5).
            arguments |= {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self.spills_to,
            }
        if self.delay_seconds is not None and self.then is not None:
            # A classic queue moves a message without a confirm, and may lose it if the broker dies
            # (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
            arguments |= {
                "x-queue-type": "quorum",
                "x-overflow": "reject-publish",
                "x-message-ttl": round(self.delay_seconds * 1000),
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self.then,
                "x-dead-letter-strategy": "at-least-once",
            }
        if arguments["x-queue-type"] == "quorum":
            # 4.x would drop a message after 20 deliveries; attempts are counted by us.
            arguments["x-delivery-limit"] = _NO_LIMIT
        else:
            # Version 2 of the classic queue confirms a third more a second (3.10 and later).
            arguments["x-queue-version"] = 2
        return arguments


@dataclass(frozen=True)
class Binding:
    """Messages of `exchange` whose key matches `key` go to `queue`."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True)
class Topology:
    """All exchanges, queues and bindings of a sale."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    orders: str = field(default="sale.orders")
    dead_orders: str = field(default="sale.orders.dead")
    outcomes: str = field(default="sale.outcomes")
    events: str = field(default="sale.events")

    def __add__(self, other: "Topology") -> "Topology":
        """Both, under the names of the first."""
        return replace(
            self,
            exchanges=(*self.exchanges, *other.exchanges),
            queues=(*self.queues, *other.queues),
            bindings=(*self.bindings, *other.bindings),
        )


HEARD_MESSAGES = 10_000
"""How many messages wait for a listener of a fanout exchange; of more the oldest is dropped."""


def sale_topology(prefix: str, max_length: int, queue_type: QueueType) -> Topology:
    """Topology of a sale. Nothing else may be bound to the orders exchange.

    If one of several queues refuses a message, its publisher gets a nack and the others keep it.
    """
    orders = f"{prefix}sale.orders"
    spilled = f"{orders}.spilled"
    dead = f"{orders}.dead"
    outcomes = f"{prefix}sale.outcomes"
    events = f"{prefix}sale.events"
    return Topology(
        exchanges=(
            Exchange(orders, "direct"),
            Exchange(outcomes, "fanout"),
            Exchange(events, "topic"),
        ),
        queues=(
            Queue(orders, queue_type, max_length, spills_to=spilled),
            Queue(spilled, queue_type),
            Queue(dead, queue_type),
        ),
        bindings=(Binding(orders, orders, "order"), Binding(orders, dead, "dead")),
        orders=orders,
        dead_orders=dead,
        outcomes=outcomes,
        events=events,
    )
