"""Evidence besides the history and the ledger: expected effects, and the backlog of the queues."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ExpectedEffects:
    """The effects that a service must have: one for each event whose topic it `wants`.

    A service that keeps a total adds `per_item` for each item sold.
    """

    service: str
    wants: Callable[[str], bool]
    per_item: int = 1


@dataclass(frozen=True)
class Backlog:
    """Ready messages in the queues: orders, and events by service.

    Unacknowledged deliveries are not counted, as the broker does not show them.
    """

    orders: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
