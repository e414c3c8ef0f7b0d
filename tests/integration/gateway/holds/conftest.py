"""A gateway in this process and a sale with holds, on each stack."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from tests.conftest import unique
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway
from tests.integration.gateway.holds.provider import SECRET


def held_sale(sku: str = "radio", stock: int = 2, **terms: Any) -> Sale:
    changes: dict[str, Any] = {"price": "10.00", "currency": "EUR"} | terms
    return Sale(sku, stock, hold_seconds=600, waitlist=5, **changes)


@pytest.fixture(params=["embedded", "real"])
async def stack_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a gateway, on each stack."""
    settings: dict[str, Any] = {"payment_secret": SECRET}
    if request.param == "embedded":
        return settings | {"database_url": request.getfixturevalue("sqlite_url")}
    database_url = request.getfixturevalue("postgres_url")
    async with open_ledger(database_url) as ledger:
        await ledger.migrate()
    return settings | {
        "database_url": database_url,
        "broker_url": request.getfixturevalue("rabbit_url"),
        "broker_prefix": f"{unique('holds')}.",
    }


@pytest.fixture
async def gateway(stack_settings: dict[str, Any]) -> AsyncIterator[EmbeddedGateway]:
    """A gateway whose drain runs, and sales with holds."""
    settings = stack_settings | {"pay_url": "https://pay.example/{sku}?order={order_id}"}
    async with open_gateway(**settings) as opened:
        for sale in (
            held_sale(),
            held_sale("lamp", 1, extendable=True),
            held_sale("free", 5, cancellable=True, price=None, currency=None),
        ):
            await opened.stack.ledger.create_sale(sale)
        await opened.context.sales.read()
        opened.drain()
        yield opened
