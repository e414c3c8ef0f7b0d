"""Who may change an order: its owner by a token, an operator, and a provider without limits."""

import pytest

from tests.integration.gateway.admin.operators import OPERATOR, TOKENS, get, post
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway, until
from tests.integration.gateway.holds.conftest import held_sale
from tests.integration.gateway.holds.provider import (
    SECRET,
    a_payment,
    another,
    order,
    pay,
    status,
    stop_drain,
)
from tests.integration.gateway.identity.signing import SECRET as JWT_SECRET
from tests.integration.gateway.identity.signing import bearer, token

ALICE, BOB = bearer(token()), bearer(token(sub="bob"))
OTHER_SECRET = "whsec_" + "b3RoZXIh" * 5


async def test_only_the_owner_of_an_order_cancels_and_extends_it(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, auth="jwt", jwt_secret=JWT_SECRET) as gateway:
        await gateway.stack.ledger.create_sale(held_sale("lamp", 5, extendable=True))
        await gateway.context.sales.read()
        queued = await gateway.call("POST", "/orders", json={"sku": "lamp"}, headers=ALICE)
        path = f"/orders/{queued.body['order_id']}"
        for action in ("cancel", "extend"):
            nobody = await gateway.call("POST", f"{path}/{action}")
            assert (nobody.status, nobody.problem) == (401, "token-required")
            other = await gateway.call("POST", f"{path}/{action}", headers=BOB)
            assert (other.status, other.problem) == (404, "unknown-order")
        gateway.drain()
        await until(
            lambda: gateway.call("GET", path, headers=ALICE),
            lambda seen: seen.body["status"] == "held",
        )
        for action in ("cancel", "extend"):
            other = await gateway.call("POST", f"{path}/{action}", headers=BOB)
            assert (other.status, other.problem) == (404, "unknown-order")
        extended = await gateway.call("POST", f"{path}/extend", headers=ALICE)
        assert (extended.status, extended.body["extended"]) == (200, True)
        cancelled = await gateway.call("POST", f"{path}/cancel", headers=ALICE)
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")


async def test_a_queued_order_with_an_owner_is_cancelled_with_its_event(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, auth="jwt", jwt_secret=JWT_SECRET) as gateway:
        queued = await gateway.call("POST", "/orders", json={"sku": "tv"}, headers=ALICE)
        order_id = queued.body["order_id"]
        cancelled = await gateway.call("POST", f"/orders/{order_id}/cancel", headers=ALICE)
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        [found] = (await gateway.stack.ledger.find([order_id])).values()
        assert found.order.customer_id == "alice"
        assert abs(found.order.accepted_at - gateway.context.drain.clock.now()) < 30


async def test_an_operator_cancels_any_order_and_the_audit_says_so(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "free")
    await pay(gateway, a_payment(order_id))
    async with another(gateway, **TOKENS) as other:
        first = await post(other, f"orders/{order_id}/cancel", key="key-1", reason="a mistake")
        assert (first.status, first.body["status"]) == (200, "cancelled")
        assert first.body["reason"] == "by_operator"
        again = await post(other, f"orders/{order_id}/cancel", key="key-1", reason="a mistake")
        assert (again.status, again.body) == (200, first.body)
        third = await order(gateway, "free")
        reused = await post(other, f"orders/{third}/cancel", key="key-1")
        assert (reused.status, reused.problem) == (422, "key-reused")
        entries = (await get(other, "audit")).body["entries"]
        [entry] = [e for e in entries if e["action"] == "order.cancel"]
        assert (entry["target"], entry["who"], entry["reason"]) == (
            order_id,
            "operator",
            "a mistake",
        )
        assert (entry["before"], entry["after"]) == (
            {"status": "confirmed"},
            {"status": "cancelled"},
        )
        unknown = await post(other, f"orders/{'0' * 32}/cancel")
        assert (unknown.status, unknown.problem) == (404, "unknown-order")
        nobody = await other.call("POST", f"/admin/orders/{third}/cancel")
        assert nobody.status == 401
        plain = await other.call("POST", f"/admin/orders/{third}/cancel", headers=OPERATOR)
        assert (plain.status, plain.body["status"]) == (200, "cancelled")


async def test_an_order_that_another_gateway_has_taken_is_cancelled_while_it_is_queued(
    gateway: EmbeddedGateway,
) -> None:
    await stop_drain(gateway)
    async with another(gateway, **TOKENS) as other:
        await until(
            lambda: other.call("GET", "/readyz"), lambda _: other.context.announcements.began
        )
        queued = (await gateway.order(sku="radio", customer_id="ann")).body["order_id"]
        answer = await until(
            lambda: post(other, f"orders/{queued}/cancel"), lambda seen: seen.status != 404
        )
        assert (answer.status, answer.body["status"]) == (200, "cancelled")
        await status(gateway, queued, "cancelled")


async def test_a_provider_is_not_limited_as_a_shopper_is_and_a_forger_is(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "radio")
    async with another(gateway, client_rate=0.1, client_burst=2) as limited:
        for _ in range(5):
            assert (await pay(limited, a_payment(order_id))).status == 200
        forged = [
            (await pay(limited, a_payment(order_id), secret=OTHER_SECRET)).status for _ in range(4)
        ]
        assert forged == [401, 401, 429, 429]
        # Even now the provider is heard, from the same address.
        assert (await pay(limited, a_payment(order_id))).status == 200
        assert limited.context.metrics.payments.counts()[("client-rate",)] == 2


async def test_a_shopper_who_may_order_no_more_may_cancel(gateway: EmbeddedGateway) -> None:
    async with another(gateway, client_rate=0.1, client_burst=1) as limited:
        answer = await limited.order(sku="radio", customer_id="ann")
        order_id = answer.body["order_id"]
        assert (await limited.order(sku="radio", customer_id="ann")).status == 429
        await status(limited, order_id, "held")
        assert (await limited.call("POST", f"/orders/{order_id}/cancel")).status == 200


async def test_there_are_no_payments_without_a_secret(gateway: EmbeddedGateway) -> None:
    async with another(gateway, payment_secret=None) as other:
        answer = await pay(other, a_payment("0" * 32))
        assert (answer.status, answer.problem) == (404, "not-found")
        document = (await other.call("GET", "/openapi.json")).body
        assert "/payments" not in document["paths"]
        assert "/orders/{order_id}/cancel" in document["paths"]


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
async def test_while_a_secret_is_replaced_both_count(gateway: EmbeddedGateway, secret: str) -> None:
    order_id = await order(gateway, "radio")
    both = type(gateway.settings)(payment_secret=f"{OTHER_SECRET} {SECRET}").payment_secret
    async with another(gateway, payment_secret=both) as rotating:
        assert (await pay(rotating, a_payment(order_id), secret=secret)).status == 200
