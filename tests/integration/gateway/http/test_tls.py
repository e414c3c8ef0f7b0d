"""TLS at the gateway: who is answered, and a certificate that is replaced meanwhile."""

import asyncio
import os
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from flashsale.runtime.errors import SettingsError
from flashsale.runtime.settings import Settings
from gateway.server import tls
from gateway.server.connection import Connection
from gateway.server.connections import Connections
from loadtest.processes import Process
from loadtest.servers import Authority, nginx
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway
from tests.integration.gateway.http.test_connections import GET, ORDER, POST, Client
from tests.integration.gateway.processes.test_workers import WORKERS, until, workers
from tests.integration.shop import Shop

# The certificate is verified, by its name too.
_TO_TLS = """
upstream flashsale {{
    server 127.0.0.1:{port};
    keepalive 4;
}}
server {{
    listen LISTEN;
    location / {{
        proxy_pass https://flashsale;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {authority};
        proxy_ssl_name localhost;
        proxy_ssl_server_name on;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
    }}
}}
"""
ALTERNATIVE = "IP:127.0.0.1,DNS:localhost"


@dataclass
class Files:
    """The files that the settings name, and an authority that fills them."""

    authority: Authority
    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"tls_cert": str(self.folder / "tls.crt"), "tls_key": str(self.folder / "tls.key")}

    def replace(self, name: str) -> None:
        """Put another certificate in place, as an orchestrator does: at once."""
        made = self.authority.issue(name, ALTERNATIVE)
        for file, ending in ((made.certificate, "crt"), (made.key, "key")):
            shutil.copy(file, self.folder / "new")
            os.replace(self.folder / "new", self.folder / f"tls.{ending}")

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.root.certificate)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "ca").mkdir()
    files = Files(Authority(tmp_path / "ca"), tmp_path)
    files.replace("first")
    return files


@pytest.fixture
async def secure(sqlite_url: str, files: Files) -> AsyncIterator[EmbeddedGateway]:
    async with open_gateway(sqlite_url, header_seconds=1, **files.settings) as gateway:
        yield gateway


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_LOOK_SECONDS", 0.05)


class TlsClient(Client):
    """A client of a connection by TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.certificate: Any = writer.get_extra_info("peercert")
        self.reader = reader

    @property
    def name(self) -> str:
        """The name of the certificate."""
        [[(_, name)]] = self.certificate["subject"]
        return str(name)

    async def status(self) -> int:
        """Ask for something, and read the whole answer; the connection stays open."""
        self.send(GET + b"\r\n")
        async with asyncio.timeout(60):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self.reader.readexactly(length)
        return int(head.split()[1])


def connected(port: int, context: ssl.SSLContext) -> AbstractAsyncContextManager[TlsClient]:
    @asynccontextmanager
    async def connect() -> AsyncIterator[TlsClient]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            yield TlsClient(reader, writer)
        finally:
            writer.close()

    return connect()


def port_of(gateway: EmbeddedGateway) -> int:
    return int(gateway.url.rpartition(":")[2])


async def name_when(port: int, context: ssl.SSLContext, condition: Callable[[str], bool]) -> str:
    """The name of the certificate that a new connection sees, once the condition holds."""
    async with asyncio.timeout(60):
        while True:
            async with connected(port, context) as client:
                if condition(client.name):
                    return client.name
            await asyncio.sleep(0.05)


async def test_orders_and_streams_go_over_tls(secure: EmbeddedGateway, files: Files) -> None:
    assert secure.url.startswith("https://127.0.0.1:")
    context = files.client()
    order = {"sku": "tv", "customer_id": "c"}
    async with secure.client.post(f"{secure.url}/orders", json=order, ssl=context) as answer:
        assert answer.status == 202
        location = answer.headers["Location"]
    secure.drain()
    async with (
        asyncio.timeout(60),
        secure.client.get(f"{secure.url}{location}/events", ssl=context) as stream,
    ):
        assert b"event: confirmed" in await stream.content.read()


async def test_nginx_speaks_tls_to_the_gateway_and_keeps_its_connections(
    secure: EmbeddedGateway, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Connection] = []
    make = Connections.__call__

    def noted(connections: Connections) -> Connection:
        made.append(make(connections))
        return made[-1]

    monkeypatch.setattr(Connections, "__call__", noted)
    http = _TO_TLS.format(port=port_of(secure), authority=files.authority.root.certificate)
    with nginx(http) as server:
        for number in range(5):
            order = {"sku": "tv", "customer_id": f"c-{number}"}
            async with secure.client.post(f"{server.url}/orders", json=order) as answer:
                assert answer.status == 202
                location = answer.headers["Location"]
        assert len(made) == 1
        secure.drain()
        async with (
            asyncio.timeout(60),
            secure.client.get(f"{server.url}{location}/events") as stream,
        ):
            assert b"event: confirmed" in await stream.content.read()
        assert (server.folder / "server.log").read_text() == ""


async def test_errors_of_connections_are_told_over_tls_too(
    secure: EmbeddedGateway, files: Files
) -> None:
    async with connected(port_of(secure), files.client()) as client:
        client.send(b"evil\r\n\r\n")
        assert await client.problem() == (400, "bad-request")
    async with connected(port_of(secure), files.client()) as client:
        client.send(GET)  # and never an end of the headers
        assert await client.problem() == (408, "slow-request")
    async with connected(port_of(secure), files.client()) as client:
        client.send(POST + ORDER)
        async with asyncio.timeout(60):
            assert (await client.reader.readline()).startswith(b"HTTP/1.1 202 ")


async def test_who_speaks_no_tls_gets_nothing_and_no_traceback(
    secure: EmbeddedGateway, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as lines:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(secure))
        writer.write(GET + b"\r\n")
        async with asyncio.timeout(60):
            assert not (await reader.read()).startswith(b"HTTP/")
        writer.close()
        async with connected(port_of(secure), files.client()) as client:
            assert await client.status() == 200
    assert [line for line in lines if "exc_info" in line] == []
    assert caplog.records == []


async def test_a_handshake_that_does_not_come_ends_the_connection(
    secure: EmbeddedGateway,
) -> None:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(secure))
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    assert 0.5 < time.monotonic() - began < 5
    writer.close()


@pytest.mark.usefixtures("quick")
async def test_a_new_certificate_is_used_and_open_connections_go_on(
    sqlite_url: str, files: Files
) -> None:
    async with open_gateway(sqlite_url, **files.settings) as gateway:
        context = files.client()
        async with connected(port_of(gateway), context) as before:
            assert before.name == "first"
            assert await before.status() == 200
            files.replace("second")
            assert await name_when(port_of(gateway), context, lambda name: name != "first")
            assert await before.status() == 200


@pytest.mark.usefixtures("quick")
async def test_a_certificate_that_can_not_be_used_changes_nothing(
    sqlite_url: str, files: Files
) -> None:
    async with open_gateway(sqlite_url, **files.settings) as gateway:
        context = files.client()
        certificate = files.folder / "tls.crt"
        whole = certificate.read_bytes()
        with capture_logs() as lines:

            async def warned(count: int) -> None:
                async with asyncio.timeout(60):
                    while sum(line["log_level"] == "warning" for line in lines) < count:
                        await asyncio.sleep(0.02)

            certificate.write_bytes(whole[: len(whole) // 2])
            await warned(1)
            assert await name_when(port_of(gateway), context, bool) == "first"
            certificate.unlink()
            await asyncio.sleep(0.3)
            assert await name_when(port_of(gateway), context, bool) == "first"
            files.replace("third")
            assert await name_when(port_of(gateway), context, lambda name: name == "third")
        assert sum(line["log_level"] == "warning" for line in lines) <= 2


async def test_a_gateway_with_open_connections_ends_in_time(sqlite_url: str, files: Files) -> None:
    async with open_gateway(sqlite_url, **files.settings) as gateway:
        clients = [
            await asyncio.open_connection("127.0.0.1", port_of(gateway), ssl=files.client())
            for _ in range(5)
        ]
        for _, writer in clients:
            writer.write(GET + b"\r\n")
        for reader, _ in clients:
            async with asyncio.timeout(60):
                await reader.readuntil(b"alive")
        began = time.monotonic()
    assert time.monotonic() - began < 5
    for _, writer in clients:
        writer.close()


async def test_all_workers_have_the_new_certificate(shop: Shop, files: Files) -> None:
    with shop.start("gateway", gateway_workers=str(WORKERS), **files.settings) as gateway:
        context = files.client()
        await until(lambda: len(workers(gateway)) == WORKERS and serves(shop.port, gateway))
        async with asyncio.timeout(60):
            names: list[str] = []
            while len(names) < 20:
                try:
                    async with connected(shop.port, context) as client:
                        assert await client.status() == 200
                        names.append(client.name)
                except ConnectionError:
                    await asyncio.sleep(0.1)
        assert set(names) == {"first"}
        files.replace("second")
        # A new connection goes to any of them: twenty in a row have met both.
        in_a_row = 0
        async with asyncio.timeout(60):
            while in_a_row < 20:
                async with connected(shop.port, context) as client:
                    in_a_row = in_a_row + 1 if client.name == "second" else 0
        assert gateway.stop() == 0


def serves(port: int, gateway: Process) -> bool:
    assert gateway.running, gateway.output
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("no certificate", "FLASHSALE_TLS_CERT=.*/tls.crt: No such file or directory"),
        ("no key", "FLASHSALE_TLS_KEY=.*/tls.key: No such file or directory"),
        ("garbage", "no certificate in PEM that fits the key"),
        ("another key", "no certificate in PEM that fits the key"),
        ("a folder", "no certificate in PEM that fits the key"),
    ],
)
def test_files_that_can_not_be_used_stop_the_process_in_one_line(
    files: Files, broken: str, told: str
) -> None:
    certificate, key = files.folder / "tls.crt", files.folder / "tls.key"
    if broken == "no certificate":
        certificate.unlink()
    elif broken == "no key":
        key.unlink()
    elif broken == "garbage":
        certificate.write_text("evil")
    elif broken == "another key":
        shutil.copy(files.authority.issue("other").key, key)
    else:
        certificate.unlink()
        certificate.mkdir()
    with pytest.raises(SettingsError, match=told) as raised:
        tls.server_tls(Settings(**files.settings))  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_no_version_before_1_2_is_spoken(files: Files) -> None:
    made = tls.server_tls(Settings(**files.settings))  # type: ignore[arg-type]
    assert made is not None
    assert made.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="FLASHSALE_TLS_CERT needs FLASHSALE_TLS_KEY"):
        Settings(tls_cert="a.crt")
    with pytest.raises(ValueError, match="FLASHSALE_TLS_KEY needs FLASHSALE_TLS_CERT"):
        Settings(tls_key="a.key")
