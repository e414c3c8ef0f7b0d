"""Stock, open now and close now: obeyed within a second, by streams and by the next order."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from flashsale.domain.sales import Sale
from tests.integration.gateway.admin.operators import OPERATOR, TOKENS, get, post
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, until

A_SECOND = 1.0


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway with tokens, and a drain."""
    async with open_gateway(sqlite_url, **TOKENS) as opened:
        opened.drain()
        yield opened


async def heard_after(
    gateway: EmbeddedGateway, sku: str, before: str, act: Callable[[], Awaitable[Any]], after: str
) -> float:
    """Act once the stream of a sale tells a state; how many seconds until it tells another."""
    acted_at = 0.0
    async with asyncio.timeout(60):
        async with gateway.client.get(f"{gateway.url}/sales/{sku}/events") as stream:
            async for line in stream.content:
                if not line.startswith(b"data: "):
                    continue
                state = json.loads(line.removeprefix(b"data: "))["state"]
                if not acted_at and state == before:
                    acted_at = time.monotonic()
                    await act()
                elif acted_at and state == after:
                    break
    return time.monotonic() - acted_at


async def sell_out(gateway: EmbeddedGateway, sku: str) -> None:
    await gateway.stack.ledger.create_sale(Sale(sku, 1))
    assert (await gateway.order(sku=sku)).status == 202
    await until(
        lambda: gateway.call("GET", f"/sales/{sku}"), lambda a: a.body["state"] == "sold_out"
    )


async def test_a_stream_that_said_sold_out_says_open_within_a_second(
    gateway: EmbeddedGateway,
) -> None:
    await sell_out(gateway, "radio")
    took = await heard_after(
        gateway, "radio", "sold_out", lambda: post(gateway, "sales/radio/stock", add=5), "open"
    )
    assert took < A_SECOND
    answer = await gateway.order(sku="radio", customer_id="c-2")
    assert answer.status == 202
    await until(
        lambda: gateway.call("GET", f"/orders/{answer.body['order_id']}"),
        lambda a: a.body["status"] == "confirmed",
    )


@pytest.mark.parametrize(
    ("sku", "before", "action", "after"),
    [
        ("tv", "open", "close", "closed"),
        ("late", "closed", "open", "open"),
        ("early", "scheduled", "open", "open"),
        ("early", "scheduled", "close", "closed"),
    ],
)
async def test_a_sale_is_opened_and_closed_within_a_second(
    gateway: EmbeddedGateway, sku: str, before: str, action: str, after: str
) -> None:
    took = await heard_after(
        gateway, sku, before, lambda: post(gateway, f"sales/{sku}/{action}"), after
    )
    assert took < A_SECOND
    refused = {"closed": "sale-closed"}
    answer = await gateway.order(sku=sku)
    if after == "open":
        order = f"/orders/{answer.body['order_id']}"
        done = await until(
            lambda: gateway.call("GET", order),
            lambda a: "reason" in a.body or a.body["status"] == "confirmed",
        )
        assert done.body["status"] == "confirmed"
    else:
        assert answer.problem == refused[after]


async def test_a_repeated_request_for_stock_is_applied_once(gateway: EmbeddedGateway) -> None:
    first = await post(gateway, "sales/tv/stock", key="k", add=500, reason="found some")
    again = await post(gateway, "sales/tv/stock", key="k", add=500, reason="found some")
    assert (first.status, first.body["stock"], first.headers["ETag"]) == (200, 505, '"2"')
    assert (again.status, again.body, again.headers["ETag"]) == (200, first.body, '"2"')
    other = await post(gateway, "sales/tv/stock", key="k", add=501)
    assert (other.status, other.problem) == (422, "key-reused")
    assert (await get(gateway, "sales/tv")).body["stock"] == 505
    entries = (await get(gateway, "audit")).body["entries"]
    stock = [entry for entry in entries if entry["action"] == "sale.stock"]
    assert len(stock) == 1
    assert (stock[0]["before"]["stock"], stock[0]["after"]["stock"]) == (5, 505)
    assert stock[0]["reason"] == "found some"


async def test_stock_is_never_below_what_is_sold(gateway: EmbeddedGateway) -> None:
    await sell_out(gateway, "radio")
    answer = await post(gateway, "sales/radio/stock", add=-1)
    assert (answer.status, answer.problem) == (409, "stock-below-sold")
    assert "1 of 1 items are sold" in answer.body["detail"]
    assert (await post(gateway, "sales/tv/stock", add=-5)).body["stock"] == 0
    assert (await post(gateway, "sales/tv/stock", add=-1)).problem == "stock-below-sold"


@pytest.mark.parametrize(
    "body", [{}, {"add": 0}, {"add": 1.5}, {"add": "5"}, {"add": None}, {"add": 2**31}, {"x": 1}]
)
async def test_a_wrong_difference_is_refused(
    gateway: EmbeddedGateway, body: dict[str, Any]
) -> None:
    answer = await post(gateway, "sales/tv/stock", **body)
    assert (answer.status, answer.problem) == (422, "invalid-change")
    assert (await get(gateway, "sales/tv")).body["version"] == 1


async def test_an_action_needs_no_body_and_honours_the_version_that_was_seen(
    gateway: EmbeddedGateway,
) -> None:
    async def close(**headers: str) -> Answer:
        return await gateway.call("POST", "/admin/sales/tv/close", headers=OPERATOR | headers)

    assert (await close(**{"If-Match": '"7"'})).status == 412
    closed = await close(**{"If-Match": '"1"'})
    assert (closed.status, closed.body["state"], closed.body["version"]) == (200, "closed", 2)
    # A closed sale stays closed since when it was.
    assert (await close()).body["closes_at"] == closed.body["closes_at"]


async def test_stock_up_and_down_at_sold_out_while_orders_come(gateway: EmbeddedGateway) -> None:
    await gateway.stack.ledger.create_sale(Sale("radio", 5))
    order_ids: list[str] = []
    done = asyncio.Event()

    async def shop() -> None:
        number = 0
        while not done.is_set():
            answer = await gateway.order(sku="radio", customer_id=f"c-{number}")
            number += 1
            if answer.status == 202:
                order_ids.append(answer.body["order_id"])
            else:
                assert answer.problem in ("sold-out", "unknown-sku")

    async def operate() -> int:
        stock = 5
        for number in range(20):
            add = 4 if number % 2 == 0 else -3
            answer = await post(gateway, "sales/radio/stock", add=add)
            if answer.status == 200:
                stock = answer.body["stock"]
            else:
                assert (answer.problem, add) == ("stock-below-sold", -3)
        done.set()
        return stock

    _, stock = await asyncio.gather(shop(), operate())
    statuses = []
    for order_id in order_ids:
        decided = await until(
            lambda path=f"/orders/{order_id}": gateway.call("GET", path),  # type: ignore[misc]
            lambda a: a.body["status"] != "queued",
        )
        statuses.append(decided.body["status"])
    sale = (await get(gateway, "sales/radio")).body
    assert (sale["stock"], sale["sold"]) == (stock, statuses.count("confirmed"))
    assert sale["remaining"] == 0 or statuses.count("rejected") == 0
    assert (await gateway.stack.ledger.audit()).wrong == ()
