"""`GET /admin/orders`: what was decided, filtered, page by page."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.gateway.admin.operators import TOKENS, get
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway, until


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway that has decided seven orders of Ann and Bob."""
    async with open_gateway(sqlite_url, drain_rate=100, drain_batch=1, **TOKENS) as opened:
        taken = [await opened.order(customer_id=("Ann", "Bob")[n % 2]) for n in range(7)]
        opened.drain()
        path = f"/orders/{taken[-1].body['order_id']}"
        await until(lambda: opened.call("GET", path), lambda a: a.body["status"] != "queued")
        yield opened


async def orders(gateway: EmbeddedGateway, query: str = "") -> list[Any]:
    answer = await get(gateway, f"orders?{query}")
    assert answer.status == 200, answer.body
    return list(answer.body["orders"])


async def test_pages_show_every_order_once_the_newest_first(gateway: EmbeddedGateway) -> None:
    everything = await orders(gateway)
    seen: list[Any] = []
    cursor = ""
    while True:
        page = (await get(gateway, f"orders?limit=3{cursor}")).body
        seen += page["orders"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == everything
    moments = [order["decided_at"] for order in seen]
    assert moments == sorted(moments, reverse=True)
    assert len({order["order_id"] for order in seen}) == len(seen)
    assert seen[-1]["customer_id"] == "Ann"
    assert (seen[-1]["status"], seen[-1]["sku"], seen[-1]["quantity"]) == ("confirmed", "tv", 1)


async def test_orders_are_found_by_customer_sale_and_status(gateway: EmbeddedGateway) -> None:
    of_ann = await orders(gateway, "customer_id=Ann")
    assert {order["customer_id"] for order in of_ann} == {"Ann"}
    # As the gateway would have stored it.
    assert await orders(gateway, "customer_id=%20Ann%E2%80%8B") == of_ann
    confirmed = await orders(gateway, "sku=tv&status=confirmed")
    assert len(confirmed) == 5
    assert await orders(gateway, "sku=gone") == []
    assert await orders(gateway, "customer_id=Ann&sku=tv&status=failed") == []


@pytest.mark.parametrize(
    "query",
    [
        "status=queued",
        "status=lost",
        "sku=a%20b",
        "customer_id=",
        "customer_id=a%00",
        "limit=0",
        "cursor=x",
        "cursor=5",
        "cursor=%FF",
        "cursor=WyJhIiwgMV0=",
        "cursor=" + "A" * 300,
    ],
)
async def test_a_wrong_query_is_refused(gateway: EmbeddedGateway, query: str) -> None:
    answer = await get(gateway, f"orders?{query}")
    assert (answer.status, answer.problem) == (400, "bad-request")
