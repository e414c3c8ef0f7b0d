"""The shop that whole-path tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.servers import RabbitNode, free_port
from tests.conftest import unique
from tests.integration.shop import Shop


@pytest.fixture
async def shop(node: RabbitNode, postgres_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    port = free_port()
    environment = {
        "FLASHSALE_BROKER_URL": node.url,
        "FLASHSALE_BROKER_PREFIX": f"{unique('w')}.",
        "FLASHSALE_DATABASE_URL": postgres_url,
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0.5",
    }
    async with open_ledger(postgres_url) as ledger, aiohttp.ClientSession() as client:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1_000_000))
        yield Shop(ledger, environment, tmp_path, port, client)
