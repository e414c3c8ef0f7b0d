"""One limit for every client: so many requests a second, after a burst."""

import math

from gateway.limits.client_table import ClientTable
from gateway.limits.gcra import Gcra

_LONGEST_KEPT_SECONDS = 60.0


class ClientLimit:
    """Counts the requests of each client, and says which of them come too soon.

    A refused request costs nothing. The client is promised that one request will fit after the time
    it is told to wait. The promise is kept even if other gateways tell of requests in the meantime:
    those delay the request after that one.
    """

    def __init__(self, name: str, rate: float, burst: int, most: int) -> None:
        """Allow `rate` requests a second after `burst` at once; know at most `most` clients.

        `name` is what is counted: `order` or `read`.
        """
        self._rule = Gcra(1 / rate, burst)
        self.name = name
        kept_seconds = min(max(self._rule.span, 1.0), _LONGEST_KEPT_SECONDS)
        self._full_at = ClientTable(most, kept_seconds)
        self._promised = ClientTable(most, kept_seconds)
        self._promises = False
        self._untold: dict[bytes, int] | None = None

    def __len__(self) -> int:
        return len(self._full_at) + len(self._promised)

    def take(self, client: bytes, now: float) -> float:
        """Count a request, and return 0.0; or return the seconds that it comes too soon.

        `now` is in seconds of a clock that never goes back.
        """
        rule = self._rule
        full_at = self._full_at.get(client)
        # `Gcra.charged`, written out: each order of a spike comes here.
        charged = (now if full_at is None or full_at < now else full_at) + rule.interval
        if charged - now > rule.most_ahead:
            wait = self._promised_wait(client, rule.wait(charged, now), now)
            if wait:
                return wait
        if self._promises:
            self._promised.remove(client)
        self._full_at.set(client, charged, now)
        if self._untold is not None:
            self._untold[client] = self._untold.get(client, 0) + 1
        return 0.0

    def wait(self, client: bytes, now: float) -> float:
        """Return the seconds until a request of the client fits, 0.0 if it does now.

        The client is promised that time.
        """
        wait = self._rule.wait(self._rule.charged(self._full_at.get(client) or now, now), now)
        return self._promised_wait(client, wait, now) if wait else 0.0

    def _promised_wait(self, client: bytes, wait: float, now: float) -> float:
        """Return the rest of the wait that the client was promised; promise this one if none."""
        promised = self._promised.get(client)
        if promised is not None:
            return max(0.0, promised - now)
        self._promised.set(client, now + wait, now)
        self._promises = True
        return wait

    def add_elsewhere(self, client: bytes, count: int, now: float) -> None:
        """Count requests that another gateway has allowed."""
        full_at = self._full_at.get(client) or now
        self._full_at.set(client, self._rule.charged(full_at, now, count), now)

    def expire(self, now: float) -> None:
        """Forget the clients that have all of their burst again."""
        self._full_at.expire(now)
        self._promised.expire(now)
        self._promises = len(self._promised) > 0

    @property
    def policy(self) -> str:
        """The value of `RateLimit-Policy`: the burst, and the seconds to get all of it back."""
        return f'"{self.name}";q={self._rule.burst};w={max(1, math.ceil(self._rule.span))}'

    def state(self, wait: float) -> str:
        """Return the value of `RateLimit` for a client that has to wait so many seconds."""
        return f'"{self.name}";r=0;t={max(1, math.ceil(wait))}'


class SharedLimit(ClientLimit):
    """A limit whose counts the gateways tell each other."""

    def __init__(self, name: str, rate: float, burst: int, most: int) -> None:
        """See `ClientLimit`."""
        super().__init__(name, rate, burst, most)
        self._untold = {}

    def untold(self) -> dict[bytes, int]:
        """Return how many requests of each client were allowed since the last call."""
        untold, self._untold = self._untold, {}
        return untold or {}
