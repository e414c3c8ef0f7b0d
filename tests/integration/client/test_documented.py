"""The code in docs/client.md works as it stands there."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

import flashsale.client
from flashsale.domain.sales import Sale
from tests.integration.gateway.embedded_gateway import EmbeddedGateway

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "client.md").read_text()


@pytest.mark.parametrize(("stock", "printed"), [(1, "confirmed None"), (0, "no order: sold-out")])
async def test_the_python_code_of_the_page_buys(
    gateway: EmbeddedGateway, stock: int, printed: str
) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    await gateway.stack.ledger.create_sale(Sale("tv-55", stock))
    gateway.drain()
    environment = os.environ | {"SALE_URL": gateway.url, "PYTHONPATH": str(ROOT)}
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await asyncio.wait_for(running.communicate(), 60)
    assert (running.returncode, told.decode().strip()) == (0, printed)


def test_the_page_names_every_error_and_every_call() -> None:
    errors = {
        name
        for name in flashsale.client.__all__
        if issubclass(getattr(flashsale.client, name), Exception)
    }
    client = flashsale.client.SaleClient
    calls = {name for name in vars(client) if not name.startswith("_")}
    assert {name for name in errors | calls if f"`{name}" not in PAGE} == set()
