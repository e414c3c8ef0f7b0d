"""What is known of other processes, by what they announced."""

import time

from gateway.state.clock_skew import ClockSkew

_LATELY_SECONDS = 3.0


class KnownDrain:
    """The drain's limit and speed, in orders a second.

    Until the drain has announced a batch, it is trusted to be as fast as the setting allows.
    """

    def __init__(self, drain_rate: int) -> None:
        self.drain_rate = drain_rate
        """The limit in force."""
        self.drained_per_second: float = drain_rate
        """The measurement; while the drain is not behind, it is the limit."""
        self.clock_skew = ClockSkew()


class OtherGateways:
    """The other gateways that put orders in the queue now. Each worker counts as a gateway."""

    def __init__(self) -> None:
        self._heard_at: dict[str, float] = {}

    def heard(self, name: str) -> None:
        """Note an announcement of orders by another gateway."""
        self._heard_at[name] = time.monotonic()

    def count(self) -> int:
        """Return how many were heard within the last 3 s."""
        since = time.monotonic() - _LATELY_SECONDS
        if any(at < since for at in self._heard_at.values()):
            self._heard_at = {name: at for name, at in self._heard_at.items() if at >= since}
        return len(self._heard_at)
