"""The other gateways that put orders in the queue at the moment."""

import time

_LATELY_SECONDS = 3.0


class OtherGateways:
    """Remembers by name which gateways announced orders lately. Each worker counts as a gateway."""

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
