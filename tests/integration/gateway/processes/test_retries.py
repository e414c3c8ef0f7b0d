"""A retry under the key of an order whose 202 was lost: no gateway says that it was not taken."""

import asyncio
import time
from typing import Any

from loadtest.processes import scrape
from tests.conftest import unique
from tests.integration.gateway.real_shop import RealGateway, RealShop, until_final

SOLD_OUT = "UPDATE sales SET stock = sold"
CLOSED = "UPDATE sales SET closes_at = extract(epoch from clock_timestamp())"

_FLOOD = 300


async def bought(shop: RealShop, gateway: RealGateway) -> tuple[dict[str, str], str]:
    """The key and customer of an order that is confirmed, and its id."""
    again = {"key": unique("k"), "customer": unique("c")}
    _, body = await gateway.order(**again)
    await until_final(gateway, body["order_id"])
    return again, body["order_id"]


async def refused(gateway: RealGateway) -> Any:
    """What a new order is told, as soon as the gateway has heard that the sale takes none."""
    async with asyncio.timeout(60):
        while True:
            status, body = await gateway.order(key=unique("k"))
            if status == 409:
                return body
            await asyncio.sleep(0.05)


def queries(gateway: RealGateway) -> float:
    return scrape(gateway.metrics_port)[("flashsale_status_queries_total", "")]


async def flood(gateway: RealGateway, seconds: float) -> tuple[list[Any], float]:
    """The answers to as many orders with new keys as can be sent, and the queries a second."""
    answers: list[Any] = []
    before, started = queries(gateway), time.monotonic()

    async def send() -> None:
        # A slow machine takes longer until a flood is one.
        while time.monotonic() < started + seconds or len(answers) <= _FLOOD:
            answers.append(await gateway.order(key=unique("k")))

    await asyncio.gather(*(send() for _ in range(100)))
    passed = time.monotonic() - started
    return answers, (queries(gateway) - before) / passed


async def test_a_retry_of_a_confirmed_order_is_answered_with_it_though_everything_is_sold(
    real_shop: RealShop,
) -> None:
    first, second = real_shop.gateway(), real_shop.gateway()
    real_shop.start("consumer")
    again, order_id = await bought(real_shop, first)
    await real_shop.execute(SOLD_OUT)
    late = real_shop.gateway()
    for gateway in (second, late):
        body = await refused(gateway)
        assert body["type"] == "/problems/sold-out"
        assert "earlier_attempt" not in body
        before = queries(gateway)
        status, body = await gateway.order(**again)
        assert (status, body["order_id"]) == (202, order_id)
        assert (body["status"], body["sku"], body["quantity"]) == ("confirmed", "tv", 1)
        assert queries(gateway) == before + (gateway is late)  # the other one has heard of it
        status, body = await gateway.order(**again, quantity=2)
        assert (status, body["type"]) == (422, "/problems/key-reused")


async def test_a_flood_of_new_keys_is_refused_with_few_queries(real_shop: RealShop) -> None:
    first = real_shop.gateway(status_queries="50")
    real_shop.start("consumer")
    await bought(real_shop, first)
    await real_shop.execute(SOLD_OUT)
    late = real_shop.gateway(status_queries="50")
    for gateway, most in ((first, 5), (late, 50)):
        await refused(gateway)
        answers, a_second = await flood(gateway, seconds=2)
        assert len(answers) > _FLOOD
        for status, body in answers:
            assert (status, body["type"]) == (409, "/problems/sold-out")
            assert len(body["order_id"]) == 32
            assert "earlier_attempt" not in body
        assert a_second <= most + 1


async def test_a_refusal_says_so_while_nobody_can_know_of_an_earlier_attempt(
    real_shop: RealShop,
) -> None:
    first = real_shop.gateway()
    again = {"key": "k", "customer": "me"}
    _, body = await first.order(**again)
    order_id = body["order_id"]
    await real_shop.execute(CLOSED)
    # This order waits in the queue; the gateway that starts now has not heard of it.
    late = real_shop.gateway()
    status, body = await late.order(**again)
    assert (status, body["type"]) == (409, "/problems/sale-closed")
    assert (body["order_id"], body["earlier_attempt"]) == (order_id, "unknown")
    assert "not known" in body["detail"]
    real_shop.start("consumer")
    await until_final(first, order_id)
    status, body = await late.order(**again)
    assert (status, body["order_id"], body["status"]) == (202, order_id, "confirmed")


async def test_a_refusal_says_so_while_the_ledger_does_not_answer(real_shop: RealShop) -> None:
    first = real_shop.gateway()
    real_shop.start("consumer")
    again, order_id = await bought(real_shop, first)
    await real_shop.execute(CLOSED)
    late = real_shop.gateway()
    async with real_shop.transaction("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"):
        for longest in (2.5, 0.5):  # the second one does not wait for a ledger that was silent
            started = time.monotonic()
            status, body = await late.order(**again)
            assert time.monotonic() - started < longest
            assert (status, body["type"]) == (409, "/problems/sale-closed")
            assert (body["order_id"], body["earlier_attempt"]) == (order_id, "unknown")
    await asyncio.sleep(1)  # so long it is not asked again
    status, body = await late.order(**again)
    assert (status, body["order_id"], body["status"]) == (202, order_id, "confirmed")


async def test_a_key_that_was_used_elsewhere_is_refused_as_soon_as_that_is_known(
    real_shop: RealShop,
) -> None:
    first = real_shop.gateway()
    again = {"key": "k", "customer": "me"}
    _, body = await first.order(**again)
    order_id = body["order_id"]
    late = real_shop.gateway()
    # The sale is open, so the ledger is not asked, and the gateway can't know.
    status, body = await late.order(**again, quantity=9)
    assert (status, body["order_id"], body["status"]) == (202, order_id, "queued")
    stream = asyncio.create_task(late.last_event(order_id))
    real_shop.start("consumer")
    for told in ((await stream).data, await until_final(late, order_id)):
        assert (told["status"], told["sku"], told["quantity"]) == ("confirmed", "tv", 1)
    status, body = await late.order(**again, quantity=9)
    assert (status, body["type"]) == (422, "/problems/key-reused")
    for gateway in (first, late):
        assert (await gateway.order(**again))[0] == 202
