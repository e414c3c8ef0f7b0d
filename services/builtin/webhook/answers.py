"""What the answer of an endpoint means for a delivery, and why there was none."""

import errno
from dataclasses import dataclass

import aiohttp

from flashsale.client.pauses import retry_after_seconds
from flashsale.domain.webhooks.deliveries import Attempt, AttemptResult, Claimed
from flashsale.domain.webhooks.event_types import TEST
from flashsale.domain.webhooks.schedule import LONGEST_RETRY_AFTER_SECONDS, retry_at
from services.builtin.webhook.public_connections import AddressRefused

_GONE = 410
_BUSY = (429, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of an endpoint. `status` is None if there was none, and `error` says why."""

    status: int | None = None
    retry_after: str | None = None
    error: str | None = None


def attempt_of(
    delivery: Claimed, answer: Answer, began_at: float, now: float, luck: float
) -> Attempt:
    """Return what an attempt came to. `luck` is a random number from 0 to 1.

    429 and 503 with `Retry-After` pause the whole endpoint. They count as attempts all the same, so
    that an endpoint which answers nothing else is disabled in the end.
    """
    status = answer.status
    milliseconds = max(round((now - began_at) * 1000), 0)
    if status is not None and 200 <= status < 300:
        return Attempt(delivery, AttemptResult.DELIVERED, began_at, milliseconds, status)
    error = answer.error or f"answer {status}"
    if status is not None and 300 <= status < 400:
        error = f"answer {status}: redirects are not followed"
    if status == _GONE:
        return Attempt(delivery, AttemptResult.GONE, began_at, milliseconds, status, error)
    asked = retry_after_seconds(answer.retry_after, now) if status in _BUSY else None
    pause = min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
    again = None if delivery.type == TEST else retry_at(delivery.attempts + 1, now, luck, pause)
    return Attempt(
        delivery,
        AttemptResult.DEAD if again is None else AttemptResult.FAILED,
        began_at,
        milliseconds,
        status,
        error,
        retry_at=again,
        pause_until=now + pause if pause else None,
    )


def describe_failure(error: Exception, timeout_seconds: float) -> str:
    """Return why there was no answer.

    The texts of errors are not shown: some repeat the address, which may hold a secret.
    """
    match error:
        case TimeoutError():
            return f"no answer within {timeout_seconds:g} s"
        case aiohttp.ClientConnectorDNSError():
            return "the name of the host can't be resolved"
        case aiohttp.ClientSSLError():
            return f"TLS failed: {_tls_reason(error)}"
        case aiohttp.ClientConnectorError():
            return _no_connection(error.os_error)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return "the connection broke off"
        case _:
            return f"what came is no answer of HTTP ({type(error).__name__})"


def _no_connection(error: OSError) -> str:
    # A host of several addresses fails with one error for all of them.
    if isinstance(error, AddressRefused) or "is not public" in str(error):
        return "the address of the host is not public"
    if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "the connection is refused"
    return f"no connection ({type(error).__name__})"


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    cause = getattr(error, "certificate_error", error)
    return str(getattr(cause, "verify_message", "")) or type(cause).__name__
