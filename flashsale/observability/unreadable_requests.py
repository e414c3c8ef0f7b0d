"""Requests that are not HTTP share a few log lines."""

import math

import structlog

log = structlog.get_logger()

LOG_SECONDS = 10.0
"""The time between two log lines about such requests."""


class UnreadableRequests:
    """Logs such requests: the first at once, and then a count of them every `LOG_SECONDS`.

    They are cheap to send, so that a line for each would be a way to fill a disk. The line holds
    nothing of what was sent.
    """

    def __init__(self, where: str | None = None) -> None:
        """Log `where` they came to, if it is given."""
        self._fields = {} if where is None else {"at": where}
        self._count = 0
        self._reason = ""
        self._client: str | None = None
        self._logged_at = -math.inf

    def add(self, reason: str, client: str | None, now: float) -> None:
        """Note a request from `client` at the moment `now` of a monotonic clock, in seconds."""
        self._count += 1
        self._reason, self._client = reason, client
        self.log_due(now)

    def log_due(self, now: float) -> None:
        """Log what was noted since the last line, if that is long enough ago."""
        if self._count and now - self._logged_at >= LOG_SECONDS:
            log.warning(
                "requests could not be read",
                count=self._count,
                last_reason=self._reason,
                last_client=self._client,
                **self._fields,
            )
            self._count, self._logged_at = 0, now
