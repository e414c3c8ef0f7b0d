"""A gateway, and what stands between it and its clients."""

from collections.abc import AsyncIterator

import pytest

from flashsale.client import pauses
from tests.integration.client.middleman import Middleman, middleman
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway in this process, on the embedded stack, without a drain."""
    async with open_gateway(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def between(gateway: EmbeddedGateway) -> AsyncIterator[Middleman]:
    """What clients connect to instead of the gateway."""
    async with middleman(gateway.url) as opened:
        yield opened


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client's own pauses be short; those that are asked for stay as they are."""
    monkeypatch.setattr(pauses, "_FIRST_SECONDS", 0.002)
    monkeypatch.setattr(pauses, "_LONGEST_SECONDS", 0.02)
