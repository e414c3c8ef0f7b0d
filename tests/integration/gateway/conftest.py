"""The gateways that these tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway
from tests.integration.gateway.real_shop import RealShop, open_real_shop


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway in this process, on the embedded stack."""
    async with open_gateway(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def real_shop(rabbit_url: str, postgres_url: str, tmp_path: Path) -> AsyncIterator[RealShop]:
    """A sale on RabbitMQ and PostgreSQL. Tests start its gateways and consumers."""
    async with open_real_shop(rabbit_url, postgres_url, tmp_path) as shop:
        yield shop
