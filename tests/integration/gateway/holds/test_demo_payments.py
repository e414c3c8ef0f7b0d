"""The demonstration of a payment page pays as a provider does."""

import pytest

from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway
from tests.integration.gateway.holds.conftest import held_sale
from tests.integration.gateway.holds.provider import SECRET, order, status


async def demonstrating(gateway: EmbeddedGateway) -> str:
    """A gateway with a drain, and a held order of two items."""
    await gateway.stack.ledger.create_sale(held_sale())
    await gateway.context.sales.read()
    gateway.drain()
    return await order(gateway, "radio", "held", quantity=2)


async def test_a_demonstrated_payment_confirms_and_a_second_one_is_given_back(
    sqlite_url: str,
) -> None:
    async with open_gateway(sqlite_url) as gateway:
        order_id = await demonstrating(gateway)
        seen = (await gateway.call("GET", f"/orders/{order_id}")).body
        assert seen["pay_url"] == f"/demo/pay/{order_id}"
        results = []
        for outcome in ("failed", "succeeded", "succeeded"):
            told = await gateway.call("POST", seen["pay_url"], json={"outcome": outcome})
            assert (told.status, told.body["order_id"]) == (200, order_id)
            results.append(told.body["result"])
        assert results == ["failed", "confirmed", "refund_due"]
        await status(gateway, order_id, "confirmed")


async def test_what_is_no_payment_is_a_problem(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url) as gateway:
        order_id = await demonstrating(gateway)
        page = f"/demo/pay/{order_id}"
        unknown = await gateway.call("POST", f"/demo/pay/{'0' * 32}", json={"outcome": "failed"})
        assert (unknown.status, unknown.problem) == (404, "unknown-order")
        bought = await order(gateway, "tv", "confirmed")
        never = await gateway.call("POST", f"/demo/pay/{bought}", json={"outcome": "succeeded"})
        assert (never.status, never.problem) == (409, "never-held")
        for body, problem in ((b"{", "bad-json"), (b'{"outcome": "perhaps"}', "invalid-payment")):
            answer = await gateway.call(
                "POST", page, data=body, headers={"Content-Type": "application/json"}
            )
            assert answer.problem == problem
        form = await gateway.call("POST", page, data={"outcome": "succeeded"})
        assert (form.status, form.problem) == (415, "unsupported-media-type")
        await status(gateway, order_id, "held")


@pytest.mark.parametrize(
    "changes",
    [
        {"payment_secret": SECRET},
        {"pay_url": "https://pay.example/{order_id}"},
        {"demo_payments": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_where_money_is_taken_there_is_no_such_address(
    sqlite_url: str, changes: dict[str, object]
) -> None:
    async with open_gateway(sqlite_url, **changes) as gateway:
        order_id = await demonstrating(gateway)
        for method, path in (
            ("GET", f"/demo/pay/{order_id}"),
            ("GET", "/demo/pay.js"),
            ("POST", f"/demo/pay/{order_id}"),
        ):
            answer = await gateway.call(method, path)
            assert (answer.status, answer.problem) == (404, "not-found")
        described = (await gateway.call("GET", "/openapi.json")).body
        assert not [path for path in described["paths"] if path.startswith("/demo")]
        await status(gateway, order_id, "held")
