"""Send orders to a receiver over HTTP, and turn whatever happens into answers."""

import errno
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from flashsale.client.pauses import retry_after_seconds
from flashsale.domain.delivery.answers import Answer, Trouble, TryAgain
from flashsale.domain.delivery.receiver import Parcel
from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.answer_table import HttpAnswer, batch_meanings, meaning
from flashsale.sinks.http.connections import CleanConnector
from flashsale.sinks.http.exchanges import Exchanges, Reply
from flashsale.sinks.http.requests import CONSTANT_HEADERS, batch_request, order_request

MOST_ANSWER_BYTES = 64 * 1024
"""The longest answer for one order that is read. A longer one is cut off."""

_BYTES_PER_ITEM = 4 * 1024
# Many servers close a connection that is idle for 5 s, and a request that meets the end of its
# connection is an attempt without an answer.
_IDLE_SECONDS = 4.0
_SHARE_OF_CONNECT = 0.5


@asynccontextmanager
async def open_receiver(address: ReceiverAddress) -> AsyncIterator["HttpReceiver"]:
    """Yield the receiver at an address. Its connections are closed at the end."""
    timeout = aiohttp.ClientTimeout(
        total=address.timeout_seconds,
        # So that a host that is silent is told from one that may have the order.
        sock_connect=address.timeout_seconds * _SHARE_OF_CONNECT,
    )
    connector = CleanConnector(
        limit=address.concurrency,
        keepalive_timeout=_IDLE_SECONDS,
        # By the certificates of the system, or of SSL_CERT_FILE and SSL_CERT_DIR.
        ssl=ssl.create_default_context() if URL(address.url).scheme == "https" else True,
    )
    # As it is, also where it is encoded more than it must be: a query may be signed.
    as_it_is = address.url.isascii() and address.url.isprintable()
    url = URL(address.url, encoded=as_it_is)
    async with connector:
        yield HttpReceiver(Exchanges(connector, url, CONSTANT_HEADERS, timeout), address)


class HttpReceiver:
    """The `Receiver` behind an HTTP address."""

    def __init__(self, exchanges: Exchanges, address: ReceiverAddress) -> None:
        """Send by exchanges of `open_receiver`."""
        self._exchanges = exchanges
        self._key = address.key
        self._batched = address.batched
        self._timeout_seconds = address.timeout_seconds

    async def send(self, parcels: Sequence[Parcel]) -> Sequence[Answer]:
        """Send orders in one request; return the answers in the same order.

        Whatever the network or the receiver does is an answer, within the timeout and within
        64 KiB, or 4 KiB for each order of a batch if that is more. Raises `ValueError` for several
        orders if the address takes no batches.
        """
        now = time.time()
        if self._batched:
            body, headers = batch_request(parcels, self._key, now)
        else:
            (parcel,) = parcels
            body, headers = order_request(parcel, self._key, now)
        answer = await self._post(body, headers, len(parcels))
        if isinstance(answer, TryAgain):
            return [answer] * len(parcels)
        if self._batched:
            return batch_meanings(answer, parcels)
        return (meaning(answer, parcel),)

    async def _post(
        self, body: bytes, headers: dict[str, str], orders: int
    ) -> HttpAnswer | TryAgain:
        most = max(MOST_ANSWER_BYTES, orders * _BYTES_PER_ITEM)
        try:
            reply = await self._exchanges.post(headers, body, most)
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            return self._failure(error)
        return _answer(reply)

    def _failure(self, error: Exception) -> TryAgain:
        """Return what an attempt without a whole answer means."""
        # The texts of errors are not shown: some repeat the address, which may hold a secret.
        match error:
            case aiohttp.ConnectionTimeoutError():
                return TryAgain("no connection in time", unknown=False, trouble=Trouble.TIMEOUT)
            case TimeoutError():
                return TryAgain(
                    f"no answer within {self._timeout_seconds:g} s", trouble=Trouble.TIMEOUT
                )
            case aiohttp.ClientConnectorDNSError():
                return TryAgain(
                    "the name of the host can't be resolved",
                    unknown=False,
                    trouble=Trouble.UNRESOLVED,
                )
            case aiohttp.ClientSSLError():
                return TryAgain(
                    f"TLS to the receiver failed: {_tls_reason(error)}",
                    unknown=False,
                    trouble=Trouble.TLS,
                )
            case aiohttp.ClientConnectorError():
                return _no_connection(error.os_error)
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
                return TryAgain(
                    f"the connection broke off ({type(error).__name__})", trouble=Trouble.BROKEN_OFF
                )
            case _:
                return TryAgain(
                    f"what came is no answer of HTTP ({type(error).__name__})",
                    trouble=Trouble.MALFORMED,
                )


def _answer(reply: Reply) -> HttpAnswer:
    told = reply.body if _is_json(reply.headers.get("Content-Type", "")) else None
    after = reply.headers.get("Retry-After")
    seconds = None if after is None else retry_after_seconds(after, time.time())
    return HttpAnswer(reply.status, told, seconds)


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    """Return whether a body may be JSON: many servers send it without saying so."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "text/plain", "application/octet-stream") or "json" in kind


def _no_connection(error: OSError) -> TryAgain:
    # A host of several addresses fails with one error for all of them.
    if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return TryAgain(
            "the connection is refused", unknown=False, trouble=Trouble.CONNECTION_REFUSED
        )
    return TryAgain(
        f"no connection ({type(error).__name__})", unknown=False, trouble=Trouble.UNREACHABLE
    )


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    cause = getattr(error, "certificate_error", error)
    return str(getattr(cause, "verify_message", "")) or type(cause).__name__
