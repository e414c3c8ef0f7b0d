"""Unsent events of the outbox, and the result of one round of the relay."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flashsale.messages.events import OrderEvent


class Unsent(NamedTuple):
    """An event to publish, and the traceparent of its order, if the order is traced."""

    event: OrderEvent
    traceparent: str | None


Send = Callable[[Sequence[Unsent]], Awaitable[Sequence[str]]]
"""Publishes events, and returns the ids of the confirmed ones."""


@dataclass(frozen=True)
class Relayed:
    """The result of one round of the relay. `oldest` is a Unix time, of the oldest event."""

    claimed: int
    sent: int
    oldest: float | None
