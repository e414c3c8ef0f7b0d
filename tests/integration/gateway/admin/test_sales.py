"""`/admin/sales`: create, change and delete sales, by whoever may, and never half."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from flashsale.domain.sales import Sale
from tests.integration.gateway.admin.operators import (
    OPERATOR,
    TOKENS,
    VIEWER,
    delete,
    get,
    patch,
    post,
)
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, until


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway with tokens."""
    async with open_gateway(sqlite_url, **TOKENS) as opened:
        yield opened


async def public(gateway: EmbeddedGateway, sku: str) -> Answer:
    return await gateway.call("GET", f"/sales/{sku}")


SHOWN: dict[str, Any] = {
    "title": "A TV of 55 inches",
    "price": "499.00",
    "currency": "EUR",
    "picture_url": "https://cdn.example.com/tv.png",
    "needs_pass": True,
}


async def test_a_created_sale_is_sold_and_shown_to_shoppers(gateway: EmbeddedGateway) -> None:
    created = await post(gateway, "sales", sku="radio", stock=3, customer_limit=2, **SHOWN)
    assert (created.status, created.headers["ETag"]) == (201, '"1"')
    assert created.headers["Location"] == "/admin/sales/radio"
    assert created.body == {
        "sku": "radio",
        "state": "open",
        **SHOWN,
        "stock": 3,
        "sold": 0,
        "held": 0,
        "remaining": 3,
        "customer_limit": 2,
        "hold_seconds": None,
        "waitlist": None,
        "waiting": 0,
        "cancellable": False,
        "extendable": False,
        "opens_at": None,
        "closes_at": None,
        "version": 1,
    }
    assert (await get(gateway, "sales/radio")).body == created.body
    assert created.body in (await get(gateway, "sales")).body["sales"]
    assert (await gateway.order(sku="radio")).problem == "pass-required"
    seen = (await public(gateway, "radio")).body
    assert {name: seen[name] for name in SHOWN} == SHOWN
    listed = (await gateway.call("GET", "/sales")).body["sales"]
    assert [sale["title"] for sale in listed if sale["sku"] == "radio"] == [SHOWN["title"]]


async def test_a_sale_is_created_once(gateway: EmbeddedGateway) -> None:
    first = await post(gateway, "sales", key="k", sku="radio", stock=3)
    again = await post(gateway, "sales", key="k", sku="radio", stock=3)
    assert (again.status, again.body) == (201, first.body)
    other = await post(gateway, "sales", key="k", sku="radio", stock=4)
    assert (other.status, other.problem) == (422, "key-reused")
    known = await post(gateway, "sales", sku="radio", stock=3)
    assert (known.status, known.problem) == (409, "conflict")
    assert "radio" in known.body["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sku": "a b"}, "sku"),
        ({"sku": 5}, "sku"),
        ({"stock": -1}, "stock"),
        ({"stock": 1.5}, "stock"),
        ({"stock": "5"}, "stock"),
        ({"stock": True}, "stock"),
        ({"stock": 2**31}, "stock"),
        ({"stock": 2**80}, "stock"),
        ({"customer_limit": 0}, "customer_limit"),
        ({"opens_at": "tomorrow"}, "opens_at"),
        ({"opens_at": "2126-01-01T00:00:00"}, "opens_at"),
        ({"opens_at": "2020-01-01T00:00:00Z"}, "opens_at"),
        ({"closes_at": "2020-01-01T00:00:00Z"}, "closes_at"),
        (
            {"opens_at": "2126-01-02T00:00:00Z", "closes_at": "2126-01-01T00:00:00Z"},
            "closes_at",
        ),
        ({"price": 499.0}, "price"),
        ({"needs_pass": None}, "needs_pass"),
        ({"needs_pass": "yes"}, "needs_pass"),
        ({"currency": "euro"}, "currency"),
        ({"picture_url": "http://example.com/x.png"}, "picture_url"),
        ({"reason": "x" * 501}, "reason"),
    ],
)
async def test_a_wrong_sale_is_refused_by_the_name_of_its_field(
    gateway: EmbeddedGateway, changes: dict[str, Any], field: str
) -> None:
    answer = await post(gateway, "sales", None, **{"sku": "radio", "stock": 3} | changes)
    assert (answer.status, answer.problem) == (422, "invalid-change")
    assert answer.body["errors"][0]["field"] == field
    assert (await get(gateway, "sales/radio")).problem == "unknown-sku"
    assert (await get(gateway, "audit?limit=1")).body["entries"][0]["who"] == "program"


async def test_a_body_that_is_no_sale_is_refused(gateway: EmbeddedGateway) -> None:
    bodies: list[dict[str, Any]] = [{}, {"sku": "radio"}, {"sku": "a", "stock": 1, "sold": 1}]
    for body in bodies:
        assert (await post(gateway, "sales", **body)).problem == "invalid-change"
    headers = OPERATOR | {"Content-Type": "application/json"}
    for raw, problem in ((b"{", "bad-json"), (b"[]", "invalid-change"), (b"\xff", "bad-json")):
        answer = await gateway.call("POST", "/admin/sales", data=raw, headers=headers)
        assert answer.problem == problem
    answer = await gateway.call("POST", "/admin/sales", data=b"x=1", headers=OPERATOR)
    assert answer.problem == "unsupported-media-type"
    bad_key = await post(gateway, "sales", key='"', sku="radio", stock=3)
    assert bad_key.problem == "bad-idempotency-key"


async def test_a_patch_says_whether_a_pass_is_needed(gateway: EmbeddedGateway) -> None:
    await post(gateway, "sales", sku="radio", stock=3)
    assert (await gateway.order(sku="radio")).status == 202
    for version, needed, seen in ((1, True, True), (2, None, False), (3, True, True)):
        tag = f'"{version}"'
        changed = await patch(gateway, "sales/radio", tag, needs_pass=needed)
        assert changed.body["needs_pass"] is seen
        wanted = seen
        await until(
            lambda: public(gateway, "radio"),
            lambda answer, wanted=wanted: answer.body["needs_pass"] is wanted,  # type: ignore[misc]
        )
    assert (await gateway.order(sku="radio")).problem == "pass-required"
    kept = await patch(gateway, "sales/radio", '"4"', title="A radio")
    assert kept.body["needs_pass"] is True


async def test_a_patch_changes_what_it_names_and_null_removes(gateway: EmbeddedGateway) -> None:
    await post(gateway, "sales", sku="radio", stock=3, customer_limit=2, **SHOWN)
    closes = "2126-01-01T00:00:00Z"
    changed = await patch(gateway, "sales/radio", '"1"', title="A radio", closes_at=closes)
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert changed.body["title"] == "A radio"
    assert (changed.body["closes_at"], changed.body["customer_limit"]) == (closes, 2)
    changed = await patch(
        gateway, "sales/radio", '"2"', closes_at=None, customer_limit=None, price=None, reason="r"
    )
    assert changed.body["closes_at"] is changed.body["customer_limit"] is None
    assert (changed.body["price"], changed.body["currency"]) == (None, "EUR")
    [entry] = (await get(gateway, "audit?limit=1")).body["entries"]
    assert (entry["who"], entry["action"], entry["target"], entry["reason"]) == (
        "operator",
        "sale.change",
        "radio",
        "r",
    )
    assert (entry["before"]["price"], entry["after"]["price"]) == ("499.00", None)


async def test_what_was_read_may_be_sent_back(gateway: EmbeddedGateway) -> None:
    seen = await get(gateway, "sales/late")
    terms = {
        name: seen.body[name]
        for name in ("opens_at", "closes_at", "customer_limit", "title", "price", "picture_url")
    }
    assert (await patch(gateway, "sales/late", seen.headers["ETag"], **terms)).status == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, ""),
        ({"opens_at": "2020-01-01T00:00:00Z"}, "opens_at"),
        ({"closes_at": "2020-01-01T00:00:00Z"}, "closes_at"),
        ({"closes_at": 5}, "closes_at"),
        ({"customer_limit": -1}, "customer_limit"),
        ({"title": "good", "price": "bad"}, "price"),
        ({"stock": 9}, ""),
        ({"sku": "other"}, ""),
        ({"version": 9}, ""),
    ],
)
async def test_a_wrong_patch_changes_nothing(
    gateway: EmbeddedGateway, changes: dict[str, Any], field: str
) -> None:
    answer = await patch(gateway, "sales/tv", **changes)
    assert (answer.status, answer.problem) == (422, "invalid-change")
    assert answer.body["errors"][0]["field"] == field
    seen = (await get(gateway, "sales/tv")).body
    assert (seen["version"], seen["title"]) == (1, None)


async def test_of_two_operators_at_once_one_is_told_to_look_again(
    gateway: EmbeddedGateway,
) -> None:
    assert (await patch(gateway, "sales/tv", '"1"', title="mine")).status == 200
    late = await patch(gateway, "sales/tv", '"1"', title="yours")
    assert (late.status, late.problem) == (412, "precondition-failed")
    for method in ("PATCH", "DELETE"):
        blind = await gateway.call(
            method, "/admin/sales/tv", json={"title": "blind"}, headers=OPERATOR
        )
        assert (blind.status, blind.problem) == (428, "precondition-required")
    assert (await delete(gateway, "sales/tv", '"1"')).status == 412
    assert (await get(gateway, "sales/tv")).body["title"] == "mine"


async def test_only_a_sale_that_never_sold_is_deleted(gateway: EmbeddedGateway) -> None:
    gateway.drain()
    order = await gateway.order()
    await until(
        lambda: gateway.call("GET", f"/orders/{order.body['order_id']}"),
        lambda a: a.body["status"] == "confirmed",
    )
    sold = await delete(gateway, "sales/tv")
    assert (sold.status, sold.problem) == (409, "sale-has-sold")
    gone = await delete(gateway, "sales/early?reason=a+mistake", '"1"')
    assert (gone.status, gone.body) == (204, None)
    assert (await get(gateway, "sales/early")).status == 404
    await until(lambda: public(gateway, "early"), lambda a: a.status == 404)
    [entry] = (await get(gateway, "audit?limit=1")).body["entries"]
    assert (entry["action"], entry["reason"], entry["after"]) == ("sale.delete", "a mistake", None)
    assert entry["before"]["sku"] == "early"


@pytest.mark.parametrize("sku", ["radio", "a%20b", "%00", "x" * 65])
async def test_an_unknown_sale_is_404(gateway: EmbeddedGateway, sku: str) -> None:
    for answer in (
        await get(gateway, f"sales/{sku}"),
        await patch(gateway, f"sales/{sku}", title="x"),
        await delete(gateway, f"sales/{sku}"),
        await post(gateway, f"sales/{sku}/stock", add=1),
        await post(gateway, f"sales/{sku}/open"),
    ):
        assert (answer.status, answer.problem) == (404, "unknown-sku")


async def test_a_viewer_looks_at_sales_and_a_stranger_does_not(gateway: EmbeddedGateway) -> None:
    for method, path in (
        ("POST", "sales"),
        ("PATCH", "sales/tv"),
        ("DELETE", "sales/tv"),
        ("POST", "sales/tv/stock"),
        ("POST", "sales/tv/open"),
        ("POST", "sales/tv/close"),
    ):
        answer = await gateway.call(method, f"/admin/{path}", json={"add": 1}, headers=VIEWER)
        assert (answer.status, answer.problem) == (403, "forbidden")
    for path in ("sales", "sales/tv", "orders"):
        assert (await gateway.call("GET", f"/admin/{path}")).problem == "unauthorized"
    assert (await get(gateway, "sales/tv")).body["version"] == 1


async def test_the_stream_of_a_sale_tells_its_new_title(gateway: EmbeddedGateway) -> None:
    async with (
        asyncio.timeout(60),
        gateway.client.get(f"{gateway.url}/sales/tv/events") as stream,
    ):
        told: list[Any] = []
        async for line in stream.content:
            if not line.startswith(b"data: "):
                continue
            told.append(json.loads(line.removeprefix(b"data: "))["title"])
            if len(told) == 1:
                await patch(gateway, "sales/tv", title="A TV")
            elif told[-1] == "A TV":
                break
        assert told[0] is None


async def test_a_retry_of_a_creation_succeeds_after_the_sale_has_opened(
    gateway: EmbeddedGateway,
) -> None:
    opens_at = time.time() + 0.3
    moment = datetime.fromtimestamp(opens_at, UTC).isoformat()
    terms: dict[str, Any] = {"sku": "soon", "stock": 1, "opens_at": moment}
    assert (await post(gateway, "sales", key="k", **terms)).status == 201
    await until(lambda: public(gateway, "soon"), lambda a: a.body["state"] == "open")
    assert (await post(gateway, "sales", key="k", **terms)).status == 201
    assert (await post(gateway, "sales", **terms | {"sku": "past"})).problem == "invalid-change"


async def test_sales_are_read_from_the_database_not_from_memory(gateway: EmbeddedGateway) -> None:
    await gateway.stack.ledger.create_sale(Sale("radio", 3))
    assert (await get(gateway, "sales/radio")).body["stock"] == 3
