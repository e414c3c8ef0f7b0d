"""Purchase passes: one pass, one order, without any store."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flashsale.domain.sales import Sale
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway
from tests.integration.gateway.identity.signing import (
    SECRET,
    a_key,
    a_pass,
    bearer,
    login_service,
    signed,
    token,
)


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway with a sale for holders of passes. It believes the customer of each order."""
    async with open_gateway(sqlite_url, jwt_secret=SECRET) as opened:
        await add_sale(opened)
        yield opened


async def add_sale(gateway: EmbeddedGateway) -> None:
    await gateway.stack.ledger.create_sale(Sale("console", 5, needs_pass=True))
    await gateway.context.sales.read()


async def order(
    gateway: EmbeddedGateway, given: str | None, key: str | None = None, **body: Any
) -> Answer:
    headers = {} if given is None else {"Purchase-Pass": given}
    if key is not None:
        headers["Idempotency-Key"] = key
    body = {"sku": "console", "customer_id": "alice"} | body
    return await gateway.call("POST", "/orders", json=body, headers=headers)


def forget(gateway: EmbeddedGateway) -> None:
    """Know as little as a gateway that has just started."""
    gateway.context.orders._known.clear()
    gateway.context.orders.hear()


async def test_a_sale_that_needs_a_pass_says_so_and_refuses_orders_without_one(
    gateway: EmbeddedGateway,
) -> None:
    assert (await gateway.call("GET", "/sales/console")).body["needs_pass"] is True
    assert (await gateway.call("GET", "/sales/tv")).body["needs_pass"] is False
    for key in (None, "k"):
        answer = await order(gateway, None, key)
        assert (answer.status, answer.problem) == (403, "pass-required")
    assert await gateway.backlog() == 0
    assert (await order(gateway, a_pass("console"))).status == 202


async def test_a_pass_is_for_one_order(gateway: EmbeddedGateway) -> None:
    given = a_pass("console")
    first = await order(gateway, given)
    again = await order(gateway, given)
    assert again.body["order_id"] == first.body["order_id"]
    assert await gateway.backlog() == 1
    for other in ({"quantity": 2}, {"customer_id": "bob"}):
        answer = await order(gateway, given, **other)
        assert (answer.status, answer.problem) == (409, "pass-used")
    # A pass that is signed anew is the same one.
    renewed = a_pass("console", exp=time.time() + 1000)
    assert renewed != given
    assert (await order(gateway, renewed)).body["order_id"] == first.body["order_id"]
    assert (await order(gateway, a_pass("console", "pass-2"))).status == 202
    assert await gateway.backlog() == 2


async def test_with_a_pass_the_key_does_not_count(gateway: EmbeddedGateway) -> None:
    given = a_pass("console")
    ids = {(await order(gateway, given, key)).body["order_id"] for key in (None, "a", "b")}
    assert len(ids) == 1
    other = await order(gateway, a_pass("console", "pass-2"), "a")
    assert other.body["order_id"] not in ids
    # Nor is the id of an order without a pass ever the same.
    keyed = await order(gateway, None, "pass-1", sku="tv")
    assert keyed.body["order_id"] not in ids


async def test_the_same_pass_at_once_is_one_order(gateway: EmbeddedGateway) -> None:
    given = a_pass("console")
    customers = ["alice", "bob"] * 10
    answers = await asyncio.gather(*(order(gateway, given, customer_id=c) for c in customers))
    taken = {answer.body["order_id"] for answer in answers if answer.status == 202}
    assert len(taken) == 1
    assert {answer.status for answer in answers} == {202, 409}
    assert await gateway.backlog() == 1


async def test_a_pass_that_has_expired_still_finds_its_order(sqlite_url: str) -> None:
    given = a_pass("console", exp=time.time() - 1)  # expired since; the leeway let it through
    async with open_gateway(sqlite_url, jwt_secret=SECRET) as gateway:
        await add_sale(gateway)
        first = await order(gateway, given)
        assert first.status == 202
        gateway.drain()
        async with asyncio.timeout(60):
            while (await order(gateway, given)).body["status"] != "confirmed":
                await asyncio.sleep(0.02)
        ledger = gateway.stack.ledger
        forgotten = a_pass("console", exp=time.time() - 60)
        forget(gateway)
        again = await order(gateway, forgotten)
        assert again.status == 202
        assert again.body["order_id"] == first.body["order_id"]
        forget(gateway)
        stolen = await order(gateway, forgotten, customer_id="bob")
        assert stolen.problem == "pass-used"
        assert len(await ledger.outcomes("console")) == 1


async def test_a_pass_is_for_its_sale_its_customer_and_its_quantity(
    gateway: EmbeddedGateway,
) -> None:
    for given, body in (
        (a_pass("tv"), {}),
        (a_pass("console"), {"sku": "tv"}),  # even where none is needed
        (a_pass("console", sub="bob"), {}),
        (a_pass("console", max_quantity=2), {"quantity": 3}),
    ):
        answer = await order(gateway, given, **body)
        assert (answer.status, answer.problem) == (403, "invalid-pass")
    assert await gateway.backlog() == 0
    bound = a_pass("console", sub=" alice\u200b", max_quantity=2)
    assert (await order(gateway, bound, quantity=2)).status == 202


def bad_passes() -> dict[str, str]:
    """The passes that do not count, made when a test begins."""
    return {
        "forged": a_pass("console")[:-40] + "A" * 40,
        "expired": a_pass("console", exp=time.time() - 60),
        "without an expiry": a_pass("console", exp=None),
        "not valid yet": a_pass("console", nbf=time.time() + 3600),
        "without an id": a_pass("console", jti=None),
        "with an empty id": a_pass("console", jti=""),
        "with a long id": a_pass("console", jti="x" * 256),
        "with half of a character": a_pass("console", jti="\ud800"),
        "with an id that is a number": token(aud="console", jti=5),
        "without a sku": token(jti="x"),
        "for two skus": token(jti="x", aud=["console", "tv"]),
        "for a sku that is none": token(jti="x", aud="a b"),
        "for no items": a_pass("console", max_quantity=0),
        "for items in words": a_pass("console", max_quantity="two"),
        "for a customer that is none": a_pass("console", sub="a\nb"),
        "by no algorithm": signed({"aud": "console", "jti": "x"}, algorithm="none"),
        "that is a token of a shopper": token(),
        "that is no token": "pass-1",
        "that is empty": "",
    }


@pytest.mark.parametrize("name", bad_passes())
async def test_a_bad_pass_is_refused(gateway: EmbeddedGateway, name: str) -> None:
    bad = bad_passes()[name]
    answer = await order(gateway, bad)
    assert (answer.status, answer.problem) == (403, "invalid-pass")
    assert await gateway.backlog() == 0


async def test_two_passes_are_refused(gateway: EmbeddedGateway) -> None:
    headers = [("Purchase-Pass", a_pass("console", jti)) for jti in ("1", "2")]
    body = {"sku": "console", "customer_id": "alice"}
    answer = await gateway.call("POST", "/orders", json=body, headers=headers)
    assert (answer.status, answer.problem) == (403, "invalid-pass")


async def test_passes_and_tokens_count_together(sqlite_url: str) -> None:
    async with open_gateway(
        sqlite_url, auth="jwt", jwt_secret=SECRET, jwt_audience="sale", jwt_issuer="shop"
    ) as gateway:
        await add_sale(gateway)
        headers = bearer(token(aud="sale", iss="shop"))
        given = {"Purchase-Pass": a_pass("console", iss="shop")}
        body = {"sku": "console"}
        answer = await gateway.call("POST", "/orders", json=body, headers=headers | given)
        assert answer.status == 202
        for wrong in (given, given | bearer(given["Purchase-Pass"])):
            answer = await gateway.call("POST", "/orders", json=body, headers=wrong)
            assert answer.status == 401
        other = bearer(token(aud="sale", iss="shop", sub="bob"))
        answer = await gateway.call("POST", "/orders", json=body, headers=other | given)
        assert answer.problem == "pass-used"
        of_no_issuer = {"Purchase-Pass": a_pass("console", "pass-2")}
        answer = await gateway.call("POST", "/orders", json=body, headers=headers | of_no_issuer)
        assert answer.problem == "invalid-pass"


async def test_a_pass_may_be_signed_by_a_published_key(sqlite_url: str) -> None:
    async with (
        login_service(a_key("k")) as login,
        open_gateway(sqlite_url, jwks_url=login.url) as gateway,
    ):
        await add_sale(gateway)
        given = login.token(aud="console", jti="x", sub=None)
        assert (await order(gateway, given)).status == 202
        login.status = 500
        async with open_gateway(sqlite_url + "2", jwks_url=login.url) as without_keys:
            await add_sale(without_keys)
            answer = await order(without_keys, given)
            assert (answer.status, answer.problem) == (503, "keys-unavailable")


async def test_without_keys_nobody_has_a_pass(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url) as gateway:
        await add_sale(gateway)
        answer = await order(gateway, a_pass("console"))
        assert (answer.status, answer.problem) == (403, "pass-required")


async def test_a_refusal_of_a_pass_is_one_of_the_sale_first(gateway: EmbeddedGateway) -> None:
    for sku, problem in (("gone", "sold-out"), ("late", "sale-closed"), ("none", "unknown-sku")):
        answer = await order(gateway, a_pass(sku, exp=time.time() - 60), sku=sku)
        assert answer.problem == problem
