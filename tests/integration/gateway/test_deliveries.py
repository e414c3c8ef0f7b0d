"""What is shown of orders that are delivered, and of sales whose stock is the shop's."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import generate_latest
from pydantic import SecretStr
from structlog.testing import capture_logs

from consumer.announcer import Announcer
from consumer.drain_control import DrainControl
from flashsale.domain.delivery.answers import Refused, Taken, Undeliverable
from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.order_states import Reason
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.ledger import DeliveryBooks, Ended
from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import open_stack
from tests.conftest import an_order
from tests.integration.gateway.admin.operators import TOKENS, get, patch, post
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, open_gateway, until

SINK: dict[str, Any] = {
    "sink_url": "https://shop.example/orders",
    "sink_secret": SecretStr("whsec_" + base64.b64encode(bytes(32)).decode()),
}


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[EmbeddedGateway]:
    """A gateway whose orders go to an order service."""
    async with open_gateway(sqlite_url, **SINK, **TOKENS) as opened:
        yield opened


@dataclass
class Courier:
    """A drain whose order service answers as the test says."""

    books: DeliveryBooks
    announcer: Announcer

    async def begin(self, order: Order, *, announce: bool = True) -> Parcel:
        begun = await self.books.begin([order], time.time())
        if announce:
            self.announcer.announce(begun.verdict, behind=False)
        [parcel] = begun.parcels
        return parcel

    async def end(
        self, parcel: Parcel, answer: Taken | Refused | Undeliverable, *, announce: bool = True
    ) -> None:
        ended = Ended(parcel.order, parcel.decided, answer, 3)
        verdict = await self.books.end([ended], time.time())
        if announce:
            self.announcer.announce(verdict, behind=False)


@asynccontextmanager
async def courier(gateway: EmbeddedGateway) -> AsyncIterator[Courier]:
    stack = gateway.stack
    control = DrainControl(100, 10)
    announcer = Announcer(
        broker=stack.broker, exchange=stack.topology.outcomes, control=control, owners=True
    )
    async with stack.ledger.hold_drain("sale") as lease:
        yield Courier(lease.open_deliveries(), announcer)


async def placed(gateway: EmbeddedGateway, **changes: Any) -> Order:
    """An order that the gateway has taken."""
    taken = await gateway.order(**changes)
    assert taken.status == 202, taken.body
    return an_order(id=taken.body["order_id"], **({"customer_id": "c-1"} | changes))


async def shown(gateway: EmbeddedGateway, order: Order, **expected: str) -> Answer:
    """The order, once it is shown like this."""
    return await until(
        lambda: gateway.call("GET", f"/orders/{order.id}"),
        lambda answer: {name: answer.body.get(name) for name in expected} == expected,
    )


async def test_a_delivered_order_is_shown_with_the_name_that_the_shop_gave_it(
    gateway: EmbeddedGateway,
) -> None:
    order = await placed(gateway)
    async with courier(gateway) as drain:
        parcel = await drain.begin(order)
        pending = await shown(gateway, order, status="confirmed")
        assert pending.body == {
            "order_id": order.id,
            "status": "confirmed",
            "sku": "tv",
            "quantity": 1,
            "delivery": "pending",
        }
        await drain.end(parcel, Taken("A-7"))
        delivered = await shown(gateway, order, delivery="delivered")
        assert delivered.body == pending.body | {"delivery": "delivered", "order_ref": "A-7"}
    [entry] = (await get(gateway, "orders")).body["orders"]
    assert (entry["order_ref"], entry["delivery_attempts"]) == ("A-7", 3)
    assert (entry["delivery"], entry["delivery_reason"]) == ("delivered", None)


async def test_a_failed_delivery_is_shown_and_the_order_stays_confirmed(
    gateway: EmbeddedGateway,
) -> None:
    order = await placed(gateway)
    async with courier(gateway) as drain:
        await drain.end(await drain.begin(order), Undeliverable("410 Gone"))
        await shown(gateway, order, status="confirmed", delivery="failed")
    [entry] = (await get(gateway, "orders?status=confirmed")).body["orders"]
    assert (entry["reason"], entry["delivery_reason"]) == (None, "410 Gone")


async def test_a_delivery_whose_announcement_is_lost_is_shown_later(
    gateway: EmbeddedGateway,
) -> None:
    order = await placed(gateway)
    async with courier(gateway) as drain:
        parcel = await drain.begin(order)
        await shown(gateway, order, delivery="pending")
        await drain.end(parcel, Taken("A-7"), announce=False)
        await shown(gateway, order, delivery="delivered", order_ref="A-7")


async def test_a_gateway_that_knows_nothing_finds_the_delivery_in_the_ledger(
    gateway: EmbeddedGateway,
) -> None:
    order = an_order()
    async with courier(gateway) as drain:
        parcel = await drain.begin(order, announce=False)
        await drain.end(parcel, Taken("A-7"), announce=False)
    await shown(gateway, order, delivery="delivered", order_ref="A-7")


async def test_the_last_event_of_an_order_has_its_delivery(gateway: EmbeddedGateway) -> None:
    await post(gateway, "sales", sku="radio", stock=None)
    order = await placed(gateway, sku="radio")
    path = f"{gateway.url}/orders/{order.id}/events"
    async with courier(gateway) as drain, gateway.client.get(path) as stream:
        parcel = await drain.begin(order)
        await drain.end(parcel, Taken("A-7"))
        events = (await stream.text()).split("\n\n")
    [confirmed] = [event for event in events if "event: confirmed" in event]
    data = json.loads(confirmed.partition("data: ")[2])
    assert (data["delivery"], data["order_ref"]) == ("delivered", "A-7")


async def test_an_order_that_the_shop_refuses_is_rejected(gateway: EmbeddedGateway) -> None:
    await post(gateway, "sales", sku="radio", stock=None)
    order = await placed(gateway, sku="radio", quantity=2)
    async with courier(gateway) as drain:
        parcel = await drain.begin(order)
        assert (await shown(gateway, order, status="queued")).body["position"] == 1
        await drain.end(parcel, Refused(Reason.NOT_ENOUGH_LEFT))
        rejected = await shown(gateway, order, status="rejected")
    assert rejected.body == {
        "order_id": order.id,
        "status": "rejected",
        "reason": "not_enough_left",
        "sku": "radio",
        "quantity": 2,
    }


async def test_a_sale_of_the_shops_stock_is_sold_out_when_the_shop_says_so(
    gateway: EmbeddedGateway,
) -> None:
    created = await post(gateway, "sales", sku="radio", stock=None, customer_limit=2)
    assert created.status == 201, created.body
    assert (created.body["stock"], created.body["remaining"]) == (None, None)
    first, second = await placed(gateway, sku="radio"), await placed(gateway, sku="radio")
    async with courier(gateway) as drain:
        await drain.end(await drain.begin(first), Taken())
        sale = await until(
            lambda: gateway.call("GET", "/sales/radio"), lambda a: a.body["sold"] == 1
        )
        assert (sale.body["state"], sale.body["stock"]) == ("open", None)
        await drain.end(await drain.begin(second), Refused(Reason.SOLD_OUT))
        await until(
            lambda: gateway.call("GET", "/sales/radio"), lambda a: a.body["state"] == "sold_out"
        )
    refused = await gateway.order(sku="radio")
    assert (refused.status, refused.problem) == (409, "sold-out")
    opened = await post(gateway, "sales/radio/open")
    assert (opened.status, opened.body["state"]) == (200, "open")
    await until(lambda: gateway.order(sku="radio"), lambda answer: answer.status == 202)


async def test_nobody_adds_to_a_stock_that_is_the_shops(gateway: EmbeddedGateway) -> None:
    await post(gateway, "sales", sku="radio", stock=None)
    refused = await post(gateway, "sales/radio/stock", add=5)
    assert (refused.status, refused.problem) == (422, "invalid-change")
    assert refused.body["errors"][0]["detail"] == "the stock of this sale is the shop's"


async def test_a_sale_of_the_shops_stock_has_no_series_about_its_stock(
    gateway: EmbeddedGateway,
) -> None:
    await post(gateway, "sales", sku="radio", stock=None)
    await until(lambda: gateway.call("GET", "/sales/radio"), lambda a: a.status == 200)
    lines = generate_latest(gateway.context.metrics.registry).decode().splitlines()
    of_sale = [line for line in lines if 'sku="radio"' in line]
    assert of_sale == ['flashsale_sale_sold_items{sku="radio"} 0.0']


async def test_a_sale_without_stock_needs_an_order_service(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        refused = await post(gateway, "sales", sku="radio", stock=None)
        assert (refused.status, refused.problem) == (422, "invalid-change")
        [error] = refused.body["errors"]
        assert error["field"] == "stock"
        assert "FLASHSALE_SINK_URL" in error["detail"]
        missing = await post(gateway, "sales", sku="radio")
        assert missing.status == 422


async def test_a_sale_whose_orders_are_delivered_gets_no_holds(gateway: EmbeddedGateway) -> None:
    created = await post(gateway, "sales", sku="radio", stock=5, hold_seconds=60)
    assert (await post(gateway, "sales", sku="radio", stock=5)).status == 201
    changed = await patch(gateway, "sales/radio", hold_seconds=60)
    for refused in (created, changed):
        assert (refused.status, refused.problem) == (422, "invalid-change")
        [error] = refused.body["errors"]
        assert error["field"] == "hold_seconds"
        assert "FLASHSALE_SINK_URL" in error["detail"]
    assert (await get(gateway, "sales/radio")).body["hold_seconds"] is None


@pytest.mark.parametrize("seconds", [0, -1, 365 * 86_400])
async def test_a_hold_has_a_second_to_a_day(gateway: EmbeddedGateway, seconds: int) -> None:
    refused = await post(gateway, "sales", sku="radio", stock=5, hold_seconds=seconds)
    assert (refused.status, refused.problem) == (422, "invalid-change")
    [error] = refused.body["errors"]
    assert (error["field"], "1 to 86400 seconds" in error["detail"]) == ("hold_seconds", True)


async def test_an_order_fails_if_nobody_can_decide_it(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, **TOKENS) as gateway:
        await gateway.stack.ledger.create_sale(Sale("radio", None))
        order = await placed(gateway, sku="radio")
        gateway.drain()
        failed = await shown(gateway, order, status="failed")
        assert "FLASHSALE_SINK_URL" in failed.body["reason"]
        other = await placed(gateway)
        await shown(gateway, other, status="confirmed")
        assert (await gateway.stack.ledger.audit()).wrong == ()


async def test_a_process_warns_of_sales_whose_orders_nobody_can_decide(
    sqlite_url: str,
) -> None:
    async def warnings(sale: Sale | None = None, **sink: Any) -> list[str]:
        with capture_logs() as logs:
            async with open_stack(Settings(database_url=sqlite_url, **sink)) as stack:
                if sale is not None:
                    await stack.ledger.create_sale(sale)
        return [line["sales"] for line in logs if "their orders fail" in line["event"]]

    assert await warnings(Sale("radio", None)) == []
    assert await warnings() == ["radio"]
    assert await warnings(Sale("held", 5, hold_seconds=60), **SINK) == []
    assert await warnings(**SINK) == ["held"]
