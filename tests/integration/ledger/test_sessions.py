"""Sessions of PostgreSQL: their settings, and those that end while they begin."""

import asyncio
import struct
from contextlib import ExitStack, suppress
from typing import Any

import asyncpg
import pytest

from flashsale.domain.sales import Sale
from flashsale.ledger import Effects, LedgerUnavailable, open_ledger
from loadtest.servers import PoolMode, PostgresServer, pgbouncer
from tests.conftest import an_order, unique
from tests.database import execute, rows


@pytest.mark.parametrize("statement", ["SELECT", "SET"], ids=["the check", "the settings"])
async def test_a_session_lost_while_it_begins_is_an_unavailable_ledger(
    postgres_url: str, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the error is not one of the ledger, and ends the task that asked."""
    driver_class: Any = asyncpg.Connection
    execute = driver_class.execute

    async def lose_session_first(self: Any, query: str, *args: Any, **kwargs: Any) -> str:
        if query.startswith(statement):
            administrator = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
            try:
                await administrator.fetch("SELECT pg_terminate_backend($1)", self.get_server_pid())
            finally:
                await administrator.close()
        return await execute(self, query, *args, **kwargs)  # type: ignore[no-any-return]

    async with open_ledger(postgres_url) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(driver_class, "execute", lose_session_first)
            for _ in range(12):  # more than the pool has connections
                with pytest.raises(LedgerUnavailable):
                    await ledger.sales()
        await ledger.migrate()
        assert await ledger.sales() == []


@pytest.mark.parametrize(("default", "used"), [("off", "on"), ("remote_apply", "remote_apply")])
@pytest.mark.parametrize("pool_mode", [None, "transaction"])
async def test_a_commit_waits_for_the_disk_whatever_the_default_of_the_database_is(
    postgres_server: PostgresServer, default: str, used: str, pool_mode: PoolMode | None
) -> None:
    """Orders and events are acknowledged after their commit, so a power cut must not undo it."""
    url = postgres_server.create_database(unique("durable"))
    database = url.rpartition("/")[2]
    await execute(url, f'ALTER DATABASE "{database}" SET synchronous_commit = {default}')
    with ExitStack() as started:
        if pool_mode is not None:
            pooler = started.enter_context(pgbouncer(postgres_server.url(), pool_mode))
            ledger_url = pooler.url(url)
        else:
            ledger_url = url
        async with open_ledger(ledger_url) as ledger:
            await ledger.migrate()
            await execute(url, "CREATE TABLE public.seen (setting text)")
            await execute(
                url,
                "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " INSERT INTO public.seen VALUES (current_setting('synchronous_commit'));"
                " RETURN NEW; END $$",
            )
            for table in ("orders", "sales", "effects"):
                await execute(
                    url,
                    f"CREATE TRIGGER see BEFORE INSERT ON flashsale.{table}"
                    " FOR EACH ROW EXECUTE FUNCTION see()",
                )
            await ledger.create_sale(Sale("tv", 10))
            async with ledger.hold_drain("sale") as lease:
                await lease.open_sink().sell([an_order()], 1_800_000_000.0)
            await ledger.effects.take_effect("probe", [Effects("event", "order")])
    assert await rows(url, "SELECT setting FROM public.seen") == [(used,)] * 3


_ASKS_FOR_TLS = struct.pack(">I", 80_877_103)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        _message(b"R", struct.pack(">I", 99)),
        _message(b"R", struct.pack(">I", 10) + b"SCRAM-SHA-256\0\0")
        + _message(b"R", struct.pack(">I", 11) + b"?"),
    ],
    ids=["HTTP", "SMTP", "another sign-in", "odd SCRAM"],
)
async def test_what_is_no_postgresql_is_an_unavailable_ledger(answer: bytes) -> None:
    sessions: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sessions.add(asyncio.current_task())
        with suppress(ConnectionError):
            # The first message asks for TLS.
            while (asked := await reader.read(1024)) and asked[4:8] == _ASKS_FOR_TLS:
                writer.write(b"N")
            writer.write(answer)
            await writer.drain()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"postgresql+asyncpg://ann:pw@127.0.0.1:{port}/shop?connect_timeout=1"
    async with open_ledger(url) as ledger:
        with pytest.raises(LedgerUnavailable):
            await ledger.sales()
    server.close()
    async with asyncio.timeout(60):
        await asyncio.gather(*(session for session in sessions if session))


@pytest.mark.parametrize("error", [AttributeError("server_version"), ValueError("Redshift 1.0")])
async def test_what_only_looks_like_postgresql_is_an_unavailable_ledger(
    postgres_url: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(**_: object) -> None:
        raise error

    monkeypatch.setattr(asyncpg, "connect", connect)
    async with open_ledger(postgres_url) as ledger:
        with pytest.raises(LedgerUnavailable, match="is no PostgreSQL"):
            await ledger.sales()
