"""Requests that are not HTTP: each is answered as a problem, and all share a few log lines."""

import math

import structlog
from aiohttp.http_exceptions import (
    BadHttpMethod,
    BadStatusLine,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
)

from gateway.http.problems import Problem

log = structlog.get_logger()

MAX_REQUEST_LINE_BYTES = 8192
MAX_HEADER_BYTES = 8190
"""Another number than that of the request line: an error names only the limit that was exceeded."""

MAX_HEADERS = 128
LOG_SECONDS = 10.0
"""The time between two log lines about such requests."""


def unreadable_problem(error: BaseException | None) -> Problem:
    """Return the answer to a request that aiohttp's parser refuses with this error."""
    match error:
        case LineTooLong(args=(_, limit, *_)) if limit == MAX_REQUEST_LINE_BYTES:
            return Problem("uri-too-long", f"At most {MAX_REQUEST_LINE_BYTES} bytes.")
        case LineTooLong():
            return Problem("headers-too-large", f"At most {MAX_HEADER_BYTES} bytes for each.")
        case BadStatusLine() | BadHttpMethod():
            detail = "The first line is not a request line of HTTP/1.1."
        case InvalidURLError():
            detail = "The address is not valid."
        case InvalidHeader():
            detail = "A header is not valid."
        case _ if "Too many headers" in str(error):
            return Problem("headers-too-large", f"At most {MAX_HEADERS} headers.")
        case _:
            detail = "This is not a request of HTTP/1.1."
    return Problem("bad-request", detail)


class UnreadableRequests:
    """Logs such requests: the first at once, and then a count of them every `LOG_SECONDS`.

    They are cheap to send, so that a line for each would be a way to fill a disk. The line holds
    nothing of what was sent.
    """

    def __init__(self) -> None:
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
            )
            self._count, self._logged_at = 0, now
