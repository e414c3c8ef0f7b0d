"""TLS to PostgreSQL, and several hosts, by the parameters of libpq."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from flashsale.ledger import open_ledger
from loadtest.servers import Authority, PostgresServer, free_port, server_folder
from tests.conftest import unique
from tests.database import rows
from tests.integration.cli.test_cli import flashsale, one_line


@dataclass(frozen=True)
class TlsServer:
    """A server whose certificate is for `localhost`, and an authority that it does not know."""

    server: PostgresServer
    authority: Authority
    other: Authority


@pytest.fixture(scope="module")
def tls() -> Iterator[TlsServer]:
    with server_folder("postgres") as folder, ExitStack() as exits:
        server = PostgresServer(
            folder,
            {
                "fsync": "off",
                "ssl": "on",
                "ssl_cert_file": str(folder / "localhost.crt"),
                "ssl_key_file": str(folder / "localhost.key"),
                "ssl_ca_file": str(folder / "root.crt"),
            },
        )
        (folder / "other").mkdir()
        authority, other = Authority(folder), Authority(folder / "other")
        own = authority.issue("localhost", "DNS:localhost")
        if os.geteuid() == 0:  # the server runs as the owner of its folder
            for file in (own.certificate, own.key, authority.root.certificate):
                shutil.chown(file, folder.owner())
        exits.callback(server.close)
        server.start()
        yield TlsServer(server, authority, other)


@pytest.fixture
def url(tls: TlsServer) -> str:
    return tls.server.create_database(unique("tls"))


def with_query(url: str, host: str = "localhost", **query: object) -> str:
    changed = make_url(url).set(host=host, query={k: str(v) for k, v in query.items()})
    return changed.render_as_string(hide_password=False)


async def test_the_ledger_works_over_verified_tls(tls: TlsServer, url: str) -> None:
    root = tls.authority.root.certificate
    full = with_query(url, sslmode="verify-full", sslrootcert=root, application_name="till")
    async with open_ledger(full) as ledger:
        await ledger.migrate()
        await ledger.verify_schema()
        async with ledger.hold_drain("sale"):
            sessions = await rows(
                url,
                "SELECT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
                " WHERE application_name LIKE 'till%'",
            )
    assert {tuple(row) for row in sessions} == {("till", True), ("till drain", True)}


def test_libpq_parameters_of_the_command_line(tls: TlsServer, url: str) -> None:
    root, wrong = tls.authority.root.certificate, tls.other.root.certificate
    for right in (
        with_query(url, sslmode="require"),
        with_query(url, sslmode="verify-full", sslrootcert=root),
    ):
        migrated = flashsale("migrate", database_url=right)
        assert "revision" in migrated.stdout, migrated.stderr
    by_address = with_query(url, "127.0.0.1", sslmode="verify-ca", sslrootcert=root)
    migrated = flashsale("migrate", database_url=by_address)
    assert "revision" in migrated.stdout, migrated.stderr

    def refused(host: str = "localhost", **query: object) -> str:
        return one_line(flashsale("migrate", database_url=with_query(url, host, **query)))

    assert "certificate verify failed" in refused(sslmode="verify-ca", sslrootcert=wrong)
    line = refused("127.0.0.1", sslmode="verify-full", sslrootcert=root)
    assert "not valid for '127.0.0.1'" in line
    assert "unknown parameter sslmod" in refused(sslmod="require")
    assert "sslrootcert=/none is no file" in refused(sslmode="verify-full", sslrootcert="/none")


def test_a_server_without_tls_is_one_line(postgres_server: PostgresServer) -> None:
    url = with_query(postgres_server.create_database(unique("plain")), sslmode="require")
    assert "rejected SSL upgrade" in one_line(flashsale("migrate", database_url=url))


async def test_a_client_certificate_is_sent(tls: TlsServer, url: str, tmp_path: Path) -> None:
    client = tls.authority.issue("flashsale")
    for file in (client.certificate, client.key):
        shutil.copy(file, tmp_path)
    known = with_query(
        url,
        application_name="known",
        sslmode="require",
        sslcert=tmp_path / client.certificate.name,
        sslkey=tmp_path / client.key.name,
    )
    async with open_ledger(known) as ledger:
        await ledger.migrate()
        found = await rows(
            url,
            "SELECT client_dn FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
            " WHERE application_name = 'known'",
        )
    assert {row.client_dn for row in found} == {"/CN=flashsale"}


async def test_the_first_host_that_answers_is_used(url: str) -> None:
    right = make_url(url)
    several = (
        f"postgresql+asyncpg://flashsale@127.0.0.1:{free_port()},localhost:{right.port}"
        f"/{right.database}?target_session_attrs=read-write&connect_timeout=2"
    )
    async with open_ledger(several) as ledger:
        await ledger.migrate()
        await ledger.verify_schema()
