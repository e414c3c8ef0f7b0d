"""Sessions of PostgreSQL that end while they begin."""

import asyncio
import struct
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from flashsale.ledger import LedgerUnavailable, open_ledger


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
    async with asyncio.timeout(5):
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
