"""Two gateways on real servers: a sale opens on both at its moment, and both hear of a change."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.integration.gateway.real_shop import RealGateway, RealShop, until_final

TOKEN = "an operator"
SHARP_SECONDS = 0.1
A_SECOND = 1.0
EVERY_SECONDS = 0.005
BEFORE_SECONDS = 0.5
AFTER_SECONDS = 0.5


@dataclass
class Attempt:
    """An order and its answer."""

    gateway: int
    answered_at: float
    status: int
    body: Any


async def post(gateway: RealGateway, path: str, body: dict[str, Any]) -> Any:
    """Post as an operator."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{gateway.url}/admin/{path}"
    async with gateway.client.post(url, json=body, headers=headers) as answer:
        assert answer.status in (200, 201), await answer.text()
        return await answer.json()


async def known(gateway: RealGateway, sku: str, state: str) -> None:
    """Wait until the gateway knows that a sale has a state."""
    async with asyncio.timeout(60):
        while (await gateway.get(f"/sales/{sku}"))[1].get("state") != state:
            await asyncio.sleep(0.02)


async def open_loop(gateways: list[RealGateway], opens_at: float) -> list[Attempt]:
    """Send orders at a fixed rate around a moment, whatever becomes of those before."""

    async def attempt(number: int) -> Attempt:
        gateway = number % len(gateways)
        status, body = await gateways[gateway].order(sku="sharp")
        return Attempt(gateway, time.time(), status, body)

    first = opens_at - BEFORE_SECONDS
    sent = []
    for number in range(round((BEFORE_SECONDS + AFTER_SECONDS) / EVERY_SECONDS)):
        await asyncio.sleep(max(0.0, first + number * EVERY_SECONDS - time.time()))
        sent.append(asyncio.create_task(attempt(number)))
    return await asyncio.gather(*sent)


async def test_a_scheduled_sale_opens_sharply_on_every_gateway(real_shop: RealShop) -> None:
    gateways = [real_shop.gateway(admin_token=TOKEN) for _ in range(2)]
    real_shop.start("consumer")
    moment = datetime.fromtimestamp(time.time() + 3, UTC)
    opens_at = moment.timestamp()
    sale = {"sku": "sharp", "stock": 10_000, "opens_at": moment.isoformat()}
    await post(gateways[0], "sales", sale)
    for gateway in gateways:
        await known(gateway, "sharp", "scheduled")
        await gateway.order()  # its connections are open
    attempts = await open_loop(gateways, opens_at)
    for number, gateway in enumerate(gateways):
        mine = [attempt for attempt in attempts if attempt.gateway == number]
        taken = [attempt for attempt in mine if attempt.status == 202]
        refused = [attempt for attempt in mine if attempt.status == 409]
        assert len(taken) + len(refused) == len(mine)
        assert {attempt.body["type"] for attempt in refused} == {"/problems/sale-not-open"}
        first = min(attempt.answered_at for attempt in taken) - opens_at
        print(f"gateway {number}: the first order was taken {first * 1000:.0f} ms after opening")
        assert 0 <= first <= SHARP_SECONDS
        # The drain agrees, though its clock may be another one.
        for attempt in (taken[0], taken[-1]):
            assert (await until_final(gateway, attempt.body["order_id"]))["status"] == "confirmed"


async def test_a_stream_of_another_gateway_that_said_sold_out_says_open_within_a_second(
    real_shop: RealShop,
) -> None:
    here, there = (real_shop.gateway(admin_token=TOKEN) for _ in range(2))
    real_shop.start("consumer")
    await post(here, "sales", {"sku": "last", "stock": 1})
    await known(here, "last", "open")
    assert (await here.order(sku="last"))[0] == 202
    await known(there, "last", "sold_out")
    async with asyncio.timeout(60), there.events("/sales/last/events") as events:
        assert (await anext(events)).data["state"] == "sold_out"
        changed_at = time.monotonic()
        await post(here, "sales/last/stock", {"add": 1})
        while (await anext(events)).data["state"] != "open":
            pass
        took = time.monotonic() - changed_at
    print(f"told after {took * 1000:.0f} ms")
    assert took < A_SECOND
    status, order = await there.order(sku="last")
    assert status == 202
    assert (await until_final(there, order["order_id"]))["status"] == "confirmed"
