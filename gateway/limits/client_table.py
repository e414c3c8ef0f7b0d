"""A bounded table with one moment for each client."""


class ClientTable:
    """The moments of the clients that were seen last, at most `most` of them.

    A moment that has passed may be forgotten. The table has two halves. When the younger half is
    full, it becomes the older half, and the former older half is forgotten. When it is older than
    `seconds`, the moments to come are kept. So no entry has to be moved when it is used, and
    nothing is searched for the one that may go.
    """

    def __init__(self, most: int, seconds: float) -> None:
        """Keep at most `most` entries; forget what has passed after two times `seconds`."""
        self._half = max(1, most // 2)
        self._seconds = seconds
        self._young: dict[bytes, float] = {}
        self._old: dict[bytes, float] = {}
        self._turn_at = 0.0

    def __len__(self) -> int:
        """The number of entries; a client may be in both halves."""
        return len(self._young) + len(self._old)

    def get(self, client: bytes) -> float | None:
        """Return the moment of a client, None if there is none."""
        moment = self._young.get(client)
        return self._old.get(client) if moment is None else moment

    def set(self, client: bytes, moment: float, now: float) -> None:
        """Set the moment of a client. `now` is of the same clock, which never goes back."""
        if now >= self._turn_at:
            self.expire(now)
        if len(self._young) >= self._half and client not in self._young:
            self._old, self._young = self._young, {}
        self._young[client] = moment

    def remove(self, client: bytes) -> None:
        """Forget a client."""
        self._young.pop(client, None)
        self._old.pop(client, None)

    def expire(self, now: float) -> None:
        """Forget what has passed, if it is time for that."""
        if now < self._turn_at:
            return
        self._turn_at = now + self._seconds
        former, self._old = self._old, self._young
        self._young = {
            client: moment
            for client, moment in former.items()
            if moment > now and client not in self._old
        }
