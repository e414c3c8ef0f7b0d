"""What services have to do, and what still waits in the queues."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Duty:
    """What a service has to do: an effect for each event whose topic it `wants`.

    One that adds up counts `per_item` for each item.
    """

    service: str
    wants: Callable[[str], bool]
    per_item: int = 1


@dataclass(frozen=True)
class Waiting:
    """What waits in the queues: orders, and events by service. What is in hand is not known."""

    orders: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
