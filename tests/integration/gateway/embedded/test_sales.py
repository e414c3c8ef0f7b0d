"""`GET /sales` and `GET /sales/{sku}`."""

from flashsale.domain.sales import Sale
from tests.integration.gateway.embedded_gateway import (
    EmbeddedGateway,
    until,
)


async def test_sales_are_listed_and_shown(gateway: EmbeddedGateway) -> None:
    await gateway.order()
    listed = await gateway.call("GET", "/sales")
    assert [(s["sku"], s["state"]) for s in listed.body["sales"]] == [
        ("early", "scheduled"),
        ("gone", "sold_out"),
        ("late", "closed"),
        ("one-each", "open"),
        ("tv", "open"),
    ]
    tv = await until(lambda: gateway.call("GET", "/sales/tv"), lambda a: a.body["backlog"] == 1)
    assert tv.body == {
        "sku": "tv",
        "state": "open",
        "title": None,
        "price": None,
        "currency": None,
        "picture_url": None,
        "needs_pass": False,
        "stock": 5,
        "sold": 0,
        "remaining": 5,
        "customer_limit": None,
        "held": 0,
        "waiting": 0,
        "hold_seconds": None,
        "waitlist": None,
        "cancellable": False,
        "extendable": False,
        "opens_at": None,
        "closes_at": None,
        "backlog": 1,
        "backlog_limit": 2000,
        "drain_rate": 2000,
        "drained_per_second": None,  # nobody drains
        "paused": False,
        "intake_paused": False,
        "notice": None,
    }
    early = await gateway.call("GET", "/sales/early")
    assert early.body["opens_at"].endswith("Z")
    missing = await gateway.call("GET", "/sales/radio")
    assert (missing.status, missing.problem) == (404, "unknown-sku")


async def test_a_sale_that_was_just_created_is_found(gateway: EmbeddedGateway) -> None:
    await gateway.stack.ledger.create_sale(Sale("fresh", 1))
    assert (await gateway.order(sku="fresh")).status == 202
