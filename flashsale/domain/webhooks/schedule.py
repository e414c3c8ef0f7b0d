"""When a delivery is tried again, and when an endpoint is left alone.

A delivery has its own schedule. An endpoint whose latest attempts all failed is paused as a whole,
so that neither its backlog nor we are busy with attempts that fail.
"""

from collections.abc import Mapping
from dataclasses import dataclass

RETRY_SECONDS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
"""The pause after each failed attempt. After one more failure the delivery is dead."""

JITTER = 0.1
"""A pause is longer by up to this part of it, so that deliveries do not come back all at once."""

LONGEST_RETRY_AFTER_SECONDS = 3_600.0
"""The longest pause that an endpoint can ask for by `Retry-After`."""

LONGEST_FAILING_SECONDS = sum(RETRY_SECONDS) * (1 + JITTER) + 3_600
"""An endpoint that takes nothing for so long is disabled, as if one delivery had been tried for all
that time."""

FAILURES_BEFORE_PAUSE = 5
"""After so many failures without a success between them, an endpoint is paused."""

_FIRST_PAUSE_SECONDS = 5.0
_LAST_PAUSE_SECONDS = 300.0


def retry_at(failures: int, now: float, luck: float, retry_after: float = 0.0) -> float | None:
    """Return when a delivery is tried again after so many failures; None if it is dead.

    `luck` is a random number from 0 to 1. A `retry_after` in seconds can make the pause longer, up
    to an hour, and never shorter.
    """
    if failures > len(RETRY_SECONDS):
        return None
    pause = RETRY_SECONDS[failures - 1] * (1 + JITTER * luck)
    return now + max(pause, min(retry_after, LONGEST_RETRY_AFTER_SECONDS))


@dataclass(frozen=True, slots=True)
class Health:
    """The failed attempts of an endpoint since its last success. Times are Unix seconds."""

    failures: int = 0
    failing_since: float | None = None
    failed_at: float | None = None
    """When the latest failure that was counted became known."""
    paused_until: float | None = None

    def after_failure(
        self, began_at: float, now: float, pause_until: float | None = None
    ) -> "Health":
        """Return the health after the failure of an attempt that began at `began_at`.

        Attempts that were under way together count as one failure. `pause_until` is until when the
        endpoint asked to be left alone.
        """
        together = self._is_known(began_at)
        failures = self.failures if together else self.failures + 1
        pauses = [until for until in (self.paused_until, pause_until) if until is not None]
        if failures >= FAILURES_BEFORE_PAUSE:
            times = min(failures - FAILURES_BEFORE_PAUSE, 20)
            pauses.append(now + min(_FIRST_PAUSE_SECONDS * 2**times, _LAST_PAUSE_SECONDS))
        return Health(
            failures=failures,
            failing_since=now if self.failing_since is None else self.failing_since,
            failed_at=self.failed_at if together else now,
            paused_until=max(pauses, default=None),
        )

    def after_success(self, began_at: float) -> "Health":
        """Return the health after the success of an attempt that began at `began_at`.

        One that began before the latest failure says nothing about the time after that.
        """
        return self if self._is_known(began_at) else Health()

    def _is_known(self, began_at: float) -> bool:
        return self.failed_at is not None and began_at <= self.failed_at


def shares(
    due: Mapping[str, int], in_flight: Mapping[str, int], waiting: int, total: int
) -> dict[str, int]:
    """Return how many deliveries to begin for each endpoint that has some due.

    `due` are the most that each endpoint may take, in the order in which they are served; `waiting`
    is the number of other endpoints that have nothing in flight. One slot is kept for each endpoint
    that has nothing in flight, so that slow endpoints never hold all of them.
    """
    free = total - sum(in_flight.values())
    given = dict.fromkeys(due, 0)
    for endpoint, most in due.items():
        if free > 0 and most > 0 and not in_flight.get(endpoint):
            given[endpoint] = 1
            free -= 1
    free -= waiting
    while free > 0:
        hungry = [endpoint for endpoint, most in due.items() if given[endpoint] < most]
        if not hungry:
            break
        for endpoint in hungry[:free]:
            given[endpoint] += 1
            free -= 1
    return {endpoint: count for endpoint, count in given.items() if count}
