"""Events on their way out of the outbox, and what one round of the relay did."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flashsale.messages.events import OrderEvent


class Unsent(NamedTuple):
    """An event to be published, and the trace that it is part of, if it is."""

    event: OrderEvent
    traceparent: str | None


Send = Callable[[Sequence[Unsent]], Awaitable[Sequence[str]]]
"""Publishes events; returns the ids of those that the broker has confirmed."""


@dataclass(frozen=True)
class Relayed:
    """What one round of the relay did. `oldest` is the oldest unsent event's, in Unix seconds."""

    claimed: int
    sent: int
    oldest: float | None
