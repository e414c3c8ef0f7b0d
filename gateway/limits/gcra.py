"""The rule of a limit: the generic cell rate algorithm, with one number for each client.

The number is the moment at which the client has all of its burst again (the "theoretical arrival
time" of ITU-T I.371). Each request moves it by one interval into the future. A request fits if the
number is no further ahead than the whole burst.
"""

from dataclasses import dataclass

# A sum of many intervals is not exact. Nobody waits for the last microsecond.
_ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Gcra:
    """A limit of one request each `interval` seconds, after a burst of `burst` at once."""

    interval: float
    burst: int

    @property
    def span(self) -> float:
        """The seconds that a client needs to get all of its burst back."""
        return self.interval * self.burst

    def wait(self, full_at: float, now: float) -> float:
        """Return the seconds until another request fits, 0.0 if it does now."""
        wait = (full_at if full_at > now else now) + self.interval - self.span - now
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def charged(self, full_at: float, now: float, count: int = 1) -> float:
        """Return the number after so many requests."""
        return (full_at if full_at > now else now) + self.interval * count
