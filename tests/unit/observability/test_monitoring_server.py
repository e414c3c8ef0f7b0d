"""The port of `/metrics` and `/healthz`: what is not HTTP, what comes slowly, and its errors."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from structlog.testing import capture_logs

from flashsale.observability import monitoring_server
from flashsale.observability.monitoring_server import (
    MonitoringAnswer,
    MonitoringRequest,
    MonitoringServer,
)


def fail(_: MonitoringRequest) -> MonitoringAnswer:
    raise ZeroDivisionError("a secret")


@contextmanager
def serving(**settings: float) -> Iterator[int]:
    with pytest.MonkeyPatch.context() as changed:
        for name, value in settings.items():
            changed.setattr(monitoring_server, name, value)
        server = MonitoringServer(
            "127.0.0.1", 0, {"/metrics": lambda _: MonitoringAnswer(200, b"page"), "/fails": fail}
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as opened:
        yield opened


def sent(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Send bytes; the head and the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        answer = b""
        while came := client.recv(65536):
            answer += came
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        (b"\x16\x03\x01\x02\x00\x01evil", 400, "bad-request"),  # TLS
        (b"evil\r\n\r\n", 400, "bad-request"),
        (b"GET /metrics\r\n\r\n", 400, "bad-request"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400, "bad-request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad-request"),
        (b"GET /evil\xff HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET /metrics HTTP/1.1\n\n", 400, "bad-request"),
        (b"GET /metrics HTTP/1.1\r\nevil : x\r\n\r\n", 400, "bad-request"),
        (b"GET /metrics HTTP/1.1\r\nA: x\r\n evil\r\n\r\n", 400, "bad-request"),
        (b"GET /metrics HTTP/1.1\r\nA: evil\x00\r\n\r\n", 400, "bad-request"),
        (b"GET /" + b"evil" * 9000, 414, "uri-too-long"),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: evil\r\n" * 3000, 431, "headers-too-large"),
        (b"GET /evil HTTP/1.1\r\n\r\n", 404, "not-found"),
        (b"GET /metrics/../evil HTTP/1.1\r\n\r\n", 404, "not-found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nevil", 405, "method-not-allowed"),
        (b"GET /fails HTTP/1.1\r\n\r\n", 500, "internal"),
    ],
)
def test_every_error_is_a_problem_that_tells_nothing_of_the_server(
    port: int, request_: bytes, status: int, kind: str
) -> None:
    head, body = sent(port, request_)
    told = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (told["status"], told["type"]) == (status, f"/problems/{kind}")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    assert b"\r\nCache-Control: no-store\r\n" in head
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in head
    assert b"\r\nConnection: close" in head
    for word in (b"server:", b"python", b"evil", b"secret"):
        assert word not in (head + body).lower()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_page_has_these_methods(port: int, method: str) -> None:
    head, body = sent(port, f"{method} /metrics?a=b HTTP/1.0\r\n\r\n".encode())
    assert head.split()[1] == (b"204" if method == "OPTIONS" else b"200")
    assert body == (b"page" if method == "GET" else b"")
    assert (b"\r\nContent-Length: 4" in head) == (method != "OPTIONS")
    assert (b"\r\nAllow: GET, HEAD, OPTIONS" in head) == (method == "OPTIONS")


def test_a_thousand_broken_requests_write_one_line() -> None:
    with serving() as port, capture_logs() as logged:
        for _ in range(1000):
            sent(port, b"evil\r\n\r\n")
    (line,) = logged
    assert line["event"] == "requests could not be read"
    assert "exc_info" not in line
    assert "evil" not in str(line)


def test_an_error_of_ours_is_logged_with_its_traceback() -> None:
    with serving() as port, capture_logs() as logged:
        sent(port, b"GET /fails HTTP/1.1\r\n\r\n")
    assert [line["event"] for line in logged] == ["monitoring request failed"]
    assert logged[0]["exc_info"]


@pytest.mark.parametrize("trickled", [b"", b"GET /metrics HTTP/1.1\r\nA: "])
def test_a_request_that_trickles_in_is_closed_in_time(trickled: bytes) -> None:
    with (
        serving(REQUEST_SECONDS=0.3) as port,
        socket.create_connection(("127.0.0.1", port), timeout=0.05) as client,
    ):
        client.sendall(trickled)
        answer = b""
        for _ in range(60):
            with suppress(TimeoutError):
                answer = client.recv(65536)
                break
            client.sendall(b"a")
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_connections_over_the_limit_are_closed_until_slow_ones_have_ended() -> None:
    with serving(_MOST_CONNECTIONS=3, REQUEST_SECONDS=0.3) as port, ExitStack() as idle:
        for _ in range(3):
            idle.enter_context(socket.create_connection(("127.0.0.1", port)))
        answers: list[bytes] = []
        deadline = time.monotonic() + 10
        while not (answers and answers[-1]) and time.monotonic() < deadline:
            try:
                answers.append(sent(port, b"GET /metrics HTTP/1.1\r\n\r\n")[0])
            except ConnectionError:
                answers.append(b"")
        assert answers[0] == b""
        assert answers[-1].startswith(b"HTTP/1.1 200")
