"""The topology: the exchanges, queues and bindings to declare on the broker."""

from dataclasses import dataclass, field, replace
from typing import Literal

ExchangeType = Literal["direct", "topic", "fanout"]
QueueType = Literal["classic", "quorum"]


@dataclass(frozen=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: ExchangeType


@dataclass(frozen=True)
class Queue:
    """A durable queue. It refuses messages over `max_length`, if given (`reject-publish`).

    With `delay_seconds` it holds each message for so long and then moves it to `expires_to`.
    Messages that it would drop go to `spills_to`, which is consumed with it.
    """

    name: str
    type: QueueType = "classic"
    max_length: int | None = None
    delay_seconds: float | None = None
    expires_to: str | None = None
    spills_to: str | None = None


@dataclass(frozen=True)
class Binding:
    """A binding: messages of `exchange` whose routing key matches `key` go to `queue`."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True)
class DeadQueue:
    """A queue of dead letters, and the exchange and key to which a replay publishes them.

    Its `name` is what operators call it: `orders`, or the name of a service.
    """

    name: str
    queue: str
    exchange: str
    routing_key: str


@dataclass(frozen=True)
class Topology:
    """All exchanges, queues and bindings of a sale, and the names that processes use."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    dead_queues: tuple[DeadQueue, ...] = ()
    """Those of `queues` that hold dead letters."""
    orders: str = field(default="sale.orders")
    dead_orders: str = field(default="sale.orders.dead")
    outcomes: str = field(default="sale.outcomes")
    events: str = field(default="sale.events")

    @property
    def spilled_orders(self) -> str | None:
        """The queue that takes the surplus of the orders' queue after a restart of the broker."""
        return next((q.spills_to for q in self.queues if q.name == self.orders), None)

    def __add__(self, other: "Topology") -> "Topology":
        """Return the union of both, with the names of the first."""
        return replace(
            self,
            exchanges=(*self.exchanges, *other.exchanges),
            queues=(*self.queues, *other.queues),
            bindings=(*self.bindings, *other.bindings),
            dead_queues=(*self.dead_queues, *other.dead_queues),
        )


MAX_SUBSCRIBER_MESSAGES = 10_000
"""The number of messages that wait for a subscriber of a fanout exchange before the oldest goes."""


def sale_topology(prefix: str, max_length: int, queue_type: QueueType) -> Topology:
    """Return the topology of a sale. Bind no further queue to the orders exchange.

    If one of several queues refuses a message, the publisher gets a nack although the others keep
    the message.
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
        dead_queues=(DeadQueue("orders", dead, orders, "order"),),
        orders=orders,
        dead_orders=dead,
        outcomes=outcomes,
        events=events,
    )


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Return whether a topic pattern matches: `*` is one word, `#` any number of words."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(topic_matches(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and topic_matches(pattern[1:], words[1:])
