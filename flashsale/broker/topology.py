"""What stands on the broker: the data that declares it."""

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


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Whether a topic key matches: `*` stands for one word, `#` for any number of them."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(topic_matches(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and topic_matches(pattern[1:], words[1:])
