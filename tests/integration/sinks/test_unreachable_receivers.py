"""A receiver that a request surely never reached: the order is not there, and that is known."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flashsale.domain.delivery.answers import Trouble, TryAgain, kind_of
from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.receiver import open_receiver
from loadtest.servers import Authority, free_port
from tests.integration.sinks.bad_receivers import KEY, answers, serving
from tests.unit.sinks.parcels import a_parcel


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def tls_of(authority: Authority, name: str, alternative: str, days: int = 2) -> ssl.SSLContext:
    made = authority.issue(name, alternative, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context


async def sent_to(address: ReceiverAddress) -> TryAgain:
    """Send an order; return the answer, which says that it was not sent."""
    async with open_receiver(address) as receiver:
        (answer,) = await receiver.send([a_parcel()])
    assert isinstance(answer, TryAgain)
    assert not answer.unknown
    assert kind_of(answer) == answer.trouble
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection(host: str) -> None:
    answer = await sent_to(ReceiverAddress(f"http://{host}:{free_port()}/", KEY))
    assert answer.trouble is Trouble.CONNECTION_REFUSED
    assert answer.reason == "the connection is refused"


async def test_a_name_that_resolves_to_nothing() -> None:
    answer = await sent_to(ReceiverAddress("http://no-such-host.invalid/orders", KEY))
    assert answer.trouble is Trouble.UNRESOLVED


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes no connection: the queue of its socket is full."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for each in (first, second):
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(server.getsockname())
        yield server.getsockname()[1]


async def test_a_host_that_answers_no_connection_has_half_of_the_time() -> None:
    began = time.perf_counter()
    with silent_port() as port:
        answer = await sent_to(ReceiverAddress(f"http://127.0.0.1:{port}/", KEY, timeout_seconds=1))
    assert (answer.trouble, answer.reason) == (Trouble.TIMEOUT, "no connection in time")
    assert 0.4 < time.perf_counter() - began < 3


async def test_a_server_that_never_begins_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # it connects, and reads nothing
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        answer = await sent_to(ReceiverAddress(url, KEY, timeout_seconds=1))
    assert answer.trouble is Trouble.TIMEOUT


@pytest.mark.parametrize(
    ("host", "alternative", "days", "known", "words"),
    [
        ("127.0.0.1", "IP:127.0.0.1", 2, False, "unable to get local issuer certificate"),
        ("127.0.0.1", "DNS:other.example", 2, True, "IP address mismatch"),
        ("localhost", "DNS:other.example", 2, True, "Hostname mismatch"),
        ("localhost", "DNS:localhost", -1, True, "certificate has expired"),
    ],
    ids=["unknown authority", "wrong address", "wrong host name", "expired"],
)
async def test_a_bad_certificate(
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    alternative: str,
    days: int,
    known: bool,
    words: str,
) -> None:
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root.certificate))
    async with serving(answers(200), tls_of(authority, "bad", alternative, days)) as server:
        answer = await sent_to(server.address(scheme="https", host=host))
        assert not server.seen.requests
    assert answer.trouble is Trouble.TLS
    assert words in answer.reason


async def test_a_receiver_without_tls_behind_https() -> None:
    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await _answer_last(writer, b"HTTP/1.1 400 Bad Request")

    async with await asyncio.start_server(refuses, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await sent_to(ReceiverAddress(f"https://127.0.0.1:{port}/", KEY))
    assert answer.trouble is Trouble.TLS


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_an_authority_of_the_environment_is_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    root = authority.root.certificate
    if variable == "SSL_CERT_DIR":
        (tmp_path / f"{await _hash_of(root)}.0").symlink_to(root)
    monkeypatch.setenv(variable, str(root if variable == "SSL_CERT_FILE" else tmp_path))
    async with serving(answers(200), tls_of(authority, "good", "IP:127.0.0.1")) as server:
        async with open_receiver(server.address(scheme="https")) as receiver:
            (answer,) = await receiver.send([a_parcel()])
        assert kind_of(answer) == "taken"
        assert len(server.seen.requests) == 1


async def _hash_of(certificate: Path) -> str:
    asked = await asyncio.create_subprocess_exec(
        *("openssl", "x509", "-hash", "-noout", "-in", certificate), stdout=asyncio.subprocess.PIPE
    )
    return (await asked.communicate())[0].decode().strip()


async def test_no_answer_repeats_the_address_which_may_hold_a_token() -> None:
    port = free_port()
    for url in (
        f"http://127.0.0.1:{port}/hidden?token=hidden",
        f"https://127.0.0.1:{port}/hidden?token=hidden",
        "http://no-such-host.invalid/hidden?token=hidden",
    ):
        address = ReceiverAddress(url, KEY)
        assert "hidden" not in (await sent_to(address)).reason
        assert "hidden" not in repr(address)


async def test_a_receiver_that_comes_back_is_reached_again() -> None:
    port = free_port()
    async with open_receiver(ReceiverAddress(f"http://127.0.0.1:{port}/", KEY)) as receiver:
        (before,) = await receiver.send([a_parcel()])
        assert kind_of(before) == "connection_refused"
        server = await asyncio.start_server(_takes_all, "127.0.0.1", port)
        async with server:
            (after,) = await receiver.send([a_parcel()])
    assert kind_of(after) == "taken"


async def _takes_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await _answer_last(writer, b"HTTP/1.1 200 OK")


async def _answer_last(writer: asyncio.StreamWriter, status: bytes) -> None:
    writer.write(status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
