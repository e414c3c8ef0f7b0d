"""`POST /orders` and `GET /orders/{id}`: an order is taken, and followed to its end."""

import pytest

from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway, until


async def test_a_confirmed_order_is_202_with_its_position(gateway: EmbeddedGateway) -> None:
    first, second = await gateway.order(), await gateway.order()
    assert (first.status, second.status) == (202, 202)
    assert first.body == {
        "order_id": first.body["order_id"],
        "status": "queued",
        "position": 1,
        "eta_seconds": None,  # nobody drains yet, and it does not pretend
    }
    assert second.body["position"] == 2
    assert first.headers["Location"] == f"/orders/{first.body['order_id']}"
    assert first.body["order_id"] != second.body["order_id"]
    assert await gateway.backlog() == 2


async def test_an_order_can_be_followed_to_its_end(gateway: EmbeddedGateway) -> None:
    orders = [await gateway.order(quantity=2) for _ in range(3)]
    paths = [order.headers["Location"] for order in orders]
    waiting = await gateway.call("GET", paths[2])
    assert (waiting.body["status"], waiting.body["position"]) == ("queued", 3)
    gateway.drain()
    last = await until(
        lambda: gateway.call("GET", paths[2]), lambda answer: answer.body["status"] != "queued"
    )
    first = await gateway.call("GET", paths[0])
    assert first.body["status"] == "confirmed"
    assert (first.body["sku"], first.body["quantity"]) == ("tv", 2)
    assert last.body == {
        "order_id": orders[2].body["order_id"],
        "status": "rejected",
        "reason": "not_enough_left",
        "sku": "tv",
        "quantity": 2,
        "remaining": 1,
    }
    assert first.headers["Cache-Control"] == "no-store"


async def test_a_sale_is_open_while_less_is_left_than_an_order_asks_for(
    gateway: EmbeddedGateway,
) -> None:
    gateway.drain()
    large = await gateway.order(quantity=6)
    path = large.headers["Location"]
    told = await until(
        lambda: gateway.call("GET", path), lambda answer: answer.body["status"] != "queued"
    )
    assert (told.body["reason"], told.body["remaining"]) == ("not_enough_left", 5)
    async with gateway.client.get(f"{gateway.url}{path}/events") as stream:
        assert b'"remaining":5' in await stream.read()
    sale = await gateway.call("GET", "/sales/tv")
    assert (sale.body["state"], sale.body["remaining"]) == ("open", 5)
    small = await gateway.order(quantity=5)
    await until(
        lambda: gateway.call("GET", small.headers["Location"]),
        lambda answer: answer.body["status"] == "confirmed",
    )


async def test_the_eta_follows_from_the_drain_rate(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, drain_rate=4, drain_batch=1) as gateway:
        gateway.drain()
        await until(lambda: gateway.order(), lambda answer: answer.body["eta_seconds"] is not None)


async def test_an_order_over_the_customer_limit_is_rejected_with_that_reason(
    gateway: EmbeddedGateway,
) -> None:
    gateway.drain()
    orders = [await gateway.order(sku="one-each") for _ in range(2)]
    answers = [
        await until(
            lambda path=o.headers["Location"]: gateway.call("GET", path),  # type: ignore[misc]
            lambda answer: answer.body["status"] != "queued",
        )
        for o in orders
    ]
    assert [a.body["status"] for a in answers] == ["confirmed", "rejected"]
    assert answers[1].body["reason"] == "customer_limit"


@pytest.mark.parametrize("order_id", ["0" * 32, "x", "0" * 31, "...", "%00", "A" * 32, "é" * 16])
async def test_an_unknown_order_is_404_whatever_its_id_looks_like(
    gateway: EmbeddedGateway, order_id: str
) -> None:
    answer = await gateway.call("GET", f"/orders/{order_id}")
    assert (answer.status, answer.problem) == (404, "unknown-order")


async def test_an_order_in_any_script_is_taken(gateway: EmbeddedGateway) -> None:
    assert (await gateway.order(customer_id="Ünïcode 顧客 🛒")).status == 202
    assert (await gateway.post(b'{"sku":"tv","customer_id":"\\ud83d\\uded2"}')).status == 202
