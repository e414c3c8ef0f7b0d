"""The Idempotency-Key: a retry meets the first order, on any gateway."""

import asyncio
from dataclasses import replace

import pytest

from flashsale.domain.order_states import Status
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.background import Background
from gateway.app import create_app, serving
from tests.integration.gateway.embedded_gateway import (
    SECRET,
    EmbeddedGateway,
    open_gateway,
    until,
)


async def test_the_same_key_and_body_is_the_same_order(gateway: EmbeddedGateway) -> None:
    answers = [await gateway.order(key="k-1") for _ in range(3)]
    assert {a.status for a in answers} == {202}
    assert len({a.body["order_id"] for a in answers}) == 1
    assert await gateway.backlog() == 1


async def test_the_same_key_at_the_same_time_is_one_order(gateway: EmbeddedGateway) -> None:
    answers = await asyncio.gather(*(gateway.order(key="k-1") for _ in range(20)))
    assert len({a.body["order_id"] for a in answers}) == 1
    assert await gateway.backlog() == 1


async def test_a_key_quoted_or_bare_is_the_same_key(gateway: EmbeddedGateway) -> None:
    bare, quoted = await gateway.order(key="k-1"), await gateway.order(key='"k-1"')
    assert bare.body["order_id"] == quoted.body["order_id"]


async def test_the_same_key_with_another_body_is_422(gateway: EmbeddedGateway) -> None:
    await gateway.order(key="k-1")
    answer = await gateway.order(key="k-1", quantity=2)
    assert (answer.status, answer.problem) == (422, "key-reused")


async def test_keys_are_remembered_for_as_many_orders_as_states(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, status_orders=1_000) as gateway:
        await gateway.order(key="k-0")
        await asyncio.gather(*(gateway.order(key=f"k-{n}") for n in range(1, 1_000)))
        assert (await gateway.order(key="k-0", quantity=2)).status == 422
        await gateway.order(key="k-1000")
        assert (await gateway.order(key="k-0", quantity=2)).status == 202


async def test_the_key_of_a_customer_is_the_same_however_the_id_is_typed(
    gateway: EmbeddedGateway,
) -> None:
    answers = [
        await gateway.order(key="k-1", customer_id=customer)
        for customer in ("zo\u00eb", " zoe\u0308", "zo\u00eb\u3000")
    ]
    assert {(a.status, a.body["order_id"]) for a in answers} == {(202, answers[0].body["order_id"])}
    assert await gateway.backlog() == 1


async def test_the_same_key_of_another_customer_is_another_order(gateway: EmbeddedGateway) -> None:
    mine, yours = await gateway.order(key="k"), await gateway.order(key="k", customer_id="c-2")
    assert mine.body["order_id"] != yours.body["order_id"]


async def test_a_retry_of_an_accepted_order_is_202_after_the_sale_is_sold_out(
    gateway: EmbeddedGateway,
) -> None:
    first = await gateway.order(key="k-1", quantity=5)
    gateway.drain()
    await until(lambda: gateway.order(), lambda answer: answer.status == 409)
    again = await gateway.order(key="k-1", quantity=5)
    assert (again.status, again.body["order_id"]) == (202, first.body["order_id"])


async def test_a_second_gateway_gives_the_same_key_the_same_order_id(
    gateway: EmbeddedGateway,
) -> None:
    async with Background() as background:
        stack = replace(gateway.stack, background=background)
        app = create_app(gateway.settings, stack, SECRET, GatewayMetrics())
        async with serving(app) as url:
            other = EmbeddedGateway(url, stack, app, gateway.settings, gateway.client)
            first, second = await gateway.order(key="k-1"), await other.order(key="k-1")
            path = (await gateway.order(key="k-2")).headers["Location"]
            await until(lambda: other.call("GET", path), lambda answer: answer.status == 200)
            reused = await other.order(key="k-2", quantity=2)  # it was announced
            assert (reused.status, reused.problem) == (422, "key-reused")
    assert first.body["order_id"] == second.body["order_id"]
    gateway.drain()
    await until(lambda: gateway.call("GET", path), lambda a: a.body["status"] == "confirmed")
    [tv] = [sale for sale in await gateway.stack.ledger.sales() if sale.sku == "tv"]
    assert tv.sold == 2


async def test_a_retry_of_a_confirmed_order_is_answered_with_it_though_the_broker_is_away(
    gateway: EmbeddedGateway,
) -> None:
    first = await gateway.order(key="k-1")
    gateway.drain()
    path = first.headers["Location"]
    await until(lambda: gateway.call("GET", path), lambda a: a.body["status"] == "confirmed")
    async with Background() as background:
        stack = replace(gateway.stack, background=background)
        app = create_app(gateway.settings, stack, SECRET, GatewayMetrics())
        async with serving(app) as url:
            later = EmbeddedGateway(url, stack, app, gateway.settings, gateway.client)
            await gateway.stack.broker.__aexit__(None, None, None)
            answer = await later.order(key="k-1")
            assert (answer.status, answer.body["status"]) == (202, "confirmed")
            assert answer.body["order_id"] == first.body["order_id"]
            assert (await later.order(key="k-1", quantity=2)).problem == "key-reused"
            fresh = await later.order(key="k-2")
            assert (fresh.status, fresh.problem) == (503, "broker-unavailable")
            await gateway.stack.broker.__aenter__()


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a,b", "k" * 256, '"open', 'mid"dle', '""', "ü", '"a', "a;b"]
)
async def test_a_bad_key_is_400(gateway: EmbeddedGateway, key: str) -> None:
    answer = await gateway.order(key=key)
    assert (answer.status, answer.problem) == (400, "bad-idempotency-key")
    assert await gateway.backlog() == 0


@pytest.mark.parametrize("key", ["k" * 255, '"a b, c"', '"say \\"hi\\" \\\\"', "0", "a=b:c@d"])
async def test_a_valid_key_is_accepted(gateway: EmbeddedGateway, key: str) -> None:
    assert (await gateway.order(key=key)).status == 202


async def test_two_keys_are_400(gateway: EmbeddedGateway) -> None:
    answer = await gateway.call(
        "POST",
        "/orders",
        json={"sku": "tv", "customer_id": "c"},
        headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
    )
    assert (answer.status, answer.problem) == (400, "bad-idempotency-key")


async def test_a_retry_of_an_order_that_failed_is_answered_by_what_became_of_it(
    gateway: EmbeddedGateway,
) -> None:
    taken = await gateway.order(key="k")
    gateway.drain()
    path = taken.headers["Location"]
    await until(lambda: gateway.call("GET", path), lambda told: told.body["status"] == "confirmed")
    # As if it had failed, and the announcement of its replay had been lost.
    known = gateway.context.orders.get(taken.body["order_id"])
    assert known is not None
    known.status = Status.FAILED
    retried = await gateway.order(key="k")
    assert (retried.status, retried.body["status"]) == (202, "confirmed")
