"""The rule of a limit: the generic cell rate algorithm, with one number for each client.

The number is the moment at which the client has all of its burst again (the "theoretical arrival
time" of ITU-T I.371). Each request moves it by one interval into the future. A request fits if the
number is then no further ahead than the whole burst.
"""

# A sum of many intervals is not exact. Nobody waits for the last microsecond.
_ROUNDING_SECONDS = 1e-6


class Gcra:
    """A limit of one request each `interval` seconds, after a burst of `burst` at once."""

    __slots__ = ("burst", "interval", "most_ahead", "span")

    def __init__(self, interval: float, burst: int) -> None:
        self.interval = interval
        self.burst = burst
        self.span = interval * burst
        """The seconds that a client needs to get all of its burst back."""
        self.most_ahead = self.span + _ROUNDING_SECONDS
        """The seconds by which the number of a client that fits may be ahead."""

    def charged(self, full_at: float, now: float, count: int = 1) -> float:
        """Return the number after so many requests."""
        return (full_at if full_at > now else now) + self.interval * count

    def wait(self, charged: float, now: float) -> float:
        """Return the seconds until the request fits that has led to this number; 0.0 if it does."""
        ahead = charged - now
        return 0.0 if ahead <= self.most_ahead else ahead - self.span
