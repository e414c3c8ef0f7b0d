"""A small HTTP server in threads of its own: it answers while the event loop is stuck.

The server of the Prometheus client answers errors with HTML that names its version and repeats what
was sent, waits for a slow client for ever, and prints tracebacks.
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from socketserver import StreamRequestHandler, TCPServer, ThreadingMixIn
from typing import Any

import msgspec
import structlog

from flashsale.observability.unreadable_requests import UnreadableRequests

log = structlog.get_logger()

REQUEST_SECONDS = 10.0
"""A request must come within this time, and its client must take the answer in it."""

_MOST_CONNECTIONS = 64
_MOST_HEAD_BYTES = 16 * 1024
_LINGER_SECONDS = 1.0
_REQUEST_LINE = re.compile(r"([A-Z]+) (/[!-~]*) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ \t!-~\x80-\xff]*?)[ \t]*")
_METHODS = "GET, HEAD, OPTIONS"
_HEADERS = (
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Connection: close\r\n"
)


@dataclass(frozen=True)
class MonitoringRequest:
    """A request. The names of its headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class MonitoringAnswer:
    """An answer, with the headers beside those that each one has."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[MonitoringRequest], MonitoringAnswer]


class _Unreadable(Exception):
    """What came is no request that is answered."""

    def __init__(self, status: int, kind: str, title: str) -> None:
        super().__init__(kind)
        self.problem = _problem(status, kind, title)


def _problem(
    status: int, kind: str, title: str, headers: Mapping[str, str] | None = None
) -> MonitoringAnswer:
    members = {
        "type": f"/problems/{kind}",
        "title": title,
        "status": status,
        "detail": HTTPStatus(status).phrase,
    }
    return MonitoringAnswer(
        status, msgspec.json.encode(members), "application/problem+json", headers or {}
    )


class MonitoringServer(ThreadingMixIn, TCPServer):
    """Serves some paths with `GET` and `HEAD`, one request a connection, each in a thread."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, paths: Mapping[str, Answering]) -> None:
        """Listen. Raises `OSError`."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, address = found[0]
        self.paths = paths
        self._unreadable = UnreadableRequests("the monitoring port")
        self._noting = threading.Lock()
        self._free = threading.Semaphore(_MOST_CONNECTIONS)
        super().__init__((str(address[0]), int(address[1])), _Connection)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def unreadable(self, reason: str, client: str) -> None:
        """Note a request that could not be read. Safe to call from any thread."""
        with self._noting:
            self._unreadable.add(reason, client, time.monotonic())

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it if too many are open."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error that is a fault of ours."""
        log.exception("monitoring request failed")


class _Connection(StreamRequestHandler):
    """One connection: a request and its answer."""

    server: MonitoringServer
    connection: socket.socket

    def handle(self) -> None:
        self._deadline = time.monotonic() + REQUEST_SECONDS
        method = "GET"
        try:
            try:
                request = self._read()
                method = request.method
                answer = self._answer(request)
            except _Unreadable as error:
                self.server.unreadable(str(error), self.client_address[0])
                answer = error.problem
            self._send(answer, without_body=method == "HEAD")
        except (OSError, EOFError):
            pass  # the client is gone, or does not take its answer

    def _answer(self, request: MonitoringRequest) -> MonitoringAnswer:
        answering = self.server.paths.get(request.path)
        if answering is None:
            return _problem(404, "not-found", "Nothing is here")
        if request.method == "OPTIONS":
            return MonitoringAnswer(204, headers={"Allow": _METHODS})
        if request.method not in ("GET", "HEAD"):
            title = "This method is not for this address"
            return _problem(405, "method-not-allowed", title, {"Allow": _METHODS})
        try:
            return answering(request)
        except Exception:
            # The top of a request: the log gets the traceback.
            log.exception("monitoring request failed", path=request.path)
            return _problem(500, "internal", "Something went wrong here")

    def _read(self) -> MonitoringRequest:
        """Return the request. Raises `_Unreadable`, `EOFError` or `OSError`."""
        first, *lines = self._head().decode("latin-1").split("\r\n")
        found = _REQUEST_LINE.fullmatch(first)
        headers = [_HEADER.fullmatch(line) for line in lines]
        if found is None or not all(headers):
            raise _Unreadable(400, "bad-request", "The request could not be read")
        path, _, query = found[2].partition("?")
        named = {header[1].lower(): header[2] for header in headers if header}
        return MonitoringRequest(found[1], path, query, named)

    def _head(self) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            if len(head) > _MOST_HEAD_BYTES:
                if b"\n" not in head:
                    raise _Unreadable(414, "uri-too-long", "The address is too long")
                raise _Unreadable(431, "headers-too-large", "The headers are too large")
            try:
                came = self._within_time().recv(_MOST_HEAD_BYTES)
            except TimeoutError:
                title = "The request did not come in time"
                raise _Unreadable(408, "slow-request", title) from None
            if not came:
                raise EOFError
            head = (head + came).lstrip(b"\r\n")
            if b"\n\n" in head or (head and not head[:1].isalpha()):
                raise _Unreadable(400, "bad-request", "The request could not be read")
        return head.partition(b"\r\n\r\n")[0]

    def _send(self, answer: MonitoringAnswer, *, without_body: bool) -> None:
        head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
        head += f"Date: {formatdate(usegmt=True)}\r\n{_HEADERS}"
        if answer.status != HTTPStatus.NO_CONTENT:
            head += f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
        for name, value in answer.headers.items():
            head += f"{name}: {value}\r\n"
        body = b"" if without_body else answer.body
        self.connection.settimeout(REQUEST_SECONDS)
        self.connection.sendall(f"{head}\r\n".encode("latin-1") + body)
        # To close with bytes unread is a reset, by which the client may lose the answer.
        self.connection.shutdown(socket.SHUT_WR)
        self._deadline = time.monotonic() + _LINGER_SECONDS
        while self._within_time().recv(_MOST_HEAD_BYTES):
            pass

    def _within_time(self) -> socket.socket:
        """Return the socket, on which the next call ends in time. Raises `TimeoutError`."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)
        return self.connection
