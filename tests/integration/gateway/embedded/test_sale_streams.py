"""`GET /sales/{sku}/events`: a sale's streams are woken by its changes."""

import asyncio

import pytest

from gateway.routes import streams
from tests.integration.gateway.embedded_gateway import (
    EmbeddedGateway,
)


async def test_a_quiet_stream_is_kept_alive_by_comments(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_KEEP_ALIVE_SECONDS", 0.05)
    task = asyncio.create_task(streams.keep_alive(gateway.context))
    async with asyncio.timeout(10), gateway.client.get(f"{gateway.url}/sales/tv/events") as answer:
        assert await answer.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        assert (await answer.content.readuntil(b"\n\n")).startswith(b"event: sale\ndata: {")
        while not (await answer.content.readuntil(b"\n\n")).startswith(b": "):
            pass
    task.cancel()
