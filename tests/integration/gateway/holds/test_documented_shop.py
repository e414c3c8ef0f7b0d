"""docs/holds.md: its shop and its provider take payments for held orders, and give them back."""

import asyncio
import json
import time
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from flashsale.domain.audit_entries import Author
from flashsale.domain.webhooks.endpoints import EndpointTerms
from flashsale.ledger import LedgerUnavailable
from flashsale.messages.events import status_of_topic
from flashsale.messages.standard_webhooks import new_secret, parse_secret, signed_headers
from flashsale.observability.services_metrics import ServicesMetrics
from loadtest.servers import free_port
from services.app import run_workers
from services.builtin.webhook.service import webhook
from services.queues import declared_by
from tests.conftest import unique
from tests.database import rows
from tests.integration.documented import documented
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway
from tests.integration.gateway.holds.conftest import held_sale
from tests.integration.gateway.holds.provider import SECRET, order, status


@dataclass
class Shop:
    """The documented shop and provider, and the gateway that they know."""

    gateway: EmbeddedGateway
    url: str
    payments: dict[str, dict[str, Any]]

    async def checkout(self, order_id: str) -> str:
        """Go where the gateway says, and return the page of the provider."""
        view = await status(self.gateway, order_id, "held")
        async with self.gateway.client.get(view["pay_url"], allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]

    async def pay(self, page: str, outcome: str = "succeeded") -> dict[str, Any]:
        """Pay at the page of the provider, and return what the provider knows then."""
        async with self.gateway.client.post(page, data={"outcome": outcome}) as answer:
            assert answer.status == 200, await answer.text()
        return self.payments[page.rpartition("/")[2]]

    async def given_back(self, payment: dict[str, Any]) -> None:
        """Wait until the provider has given a payment back."""
        async with asyncio.timeout(60):
            while payment["status"] != "refunded":
                await asyncio.sleep(0.02)

    async def event_types(self) -> list[str]:
        """The types of the events so far."""
        found = await rows(self.gateway.settings.database_url, "SELECT topic FROM outbox")
        return [status_of_topic(row.topic) for row in found]


@asynccontextmanager
async def running(name: str, port: int) -> AsyncIterator[types.ModuleType]:
    """Run an app of the page."""
    module = types.ModuleType(name)
    code = documented(f"{name}.py", page="holds.md")
    exec(compile(code, f"docs/holds.md: {name}.py", "exec"), module.__dict__)
    runner = web.AppRunner(module.app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield module
    finally:
        await runner.cleanup()


@pytest.fixture
async def shop(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """A gateway, the service that sends webhooks, the shop and the provider."""
    shop_port, provider_port = free_port(), free_port()
    url = f"http://127.0.0.1:{shop_port}"
    async with open_gateway(
        sqlite_url,
        payment_secret=SECRET,
        pay_url=f"{url}/checkout?order={{order_id}}",
    ) as gateway:
        terms = EndpointTerms(f"{url}/events", ("order.refund_due",))
        issued = await gateway.stack.ledger.webhooks.create_endpoint(terms, Author("ann", "a test"))
        assert issued.secret is not None
        for name, value in {
            "GATEWAY": gateway.url,
            "SHOP": url,
            "PROVIDER": f"http://127.0.0.1:{provider_port}",
            "FLASHSALE_PAYMENT_SECRET": SECRET,
            "PROVIDER_SECRET": new_secret(),
            "WEBHOOK_SECRET": issued.secret,
            "FLASHSALE_WEBHOOK_ALLOW_PRIVATE": "true",
        }.items():
            monkeypatch.setenv(name, value)
        await gateway.stack.ledger.create_sale(held_sale("radio", 5, cancellable=True))
        await gateway.context.sales.read()
        await gateway.stack.broker.extend(declared_by(gateway.settings, [webhook]))
        gateway.drain()
        workers = run_workers(
            gateway.settings, gateway.stack, [webhook], ServicesMetrics(), asyncio.Event()
        )
        gateway.tasks.append(asyncio.create_task(workers))
        async with (
            running("checkout", shop_port),
            running("provider", provider_port) as provider,
        ):
            yield Shop(gateway, url, provider.PAYMENTS)


async def test_a_shopper_pays_after_a_failure_and_the_order_is_confirmed(shop: Shop) -> None:
    order_id = await order(shop.gateway, "radio", quantity=2)
    page = await shop.checkout(order_id)
    assert (await shop.pay(page, "failed"))["status"] == "failed"
    await status(shop.gateway, order_id, "held")
    paid = await shop.pay(page)
    assert (paid["amount"], paid["currency"], paid["status"]) == ("20.00", "EUR", "succeeded")
    await status(shop.gateway, order_id, "confirmed")
    async with shop.gateway.client.get(f"{shop.url}/checkout?order={order_id}") as answer:
        assert answer.status == 409


async def test_a_second_payment_of_another_tab_is_given_back(shop: Shop) -> None:
    order_id = await order(shop.gateway, "radio")
    tabs = [await shop.checkout(order_id) for _ in range(2)]
    for page in tabs:
        await shop.pay(page)
    first, second = shop.payments.values()
    await shop.given_back(second)
    assert first["status"] == "succeeded"
    await status(shop.gateway, order_id, "confirmed")


async def test_the_payment_of_an_order_that_is_cancelled_is_given_back(shop: Shop) -> None:
    order_id = await order(shop.gateway, "radio")
    paid = await shop.pay(await shop.checkout(order_id))
    await shop.gateway.call("POST", f"/orders/{order_id}/cancel")
    assert paid["status"] == "succeeded"
    await shop.given_back(paid)


async def test_what_the_gateway_refuses_is_given_back_at_once(shop: Shop) -> None:
    order_id = await order(shop.gateway, "radio")
    page = await shop.checkout(order_id)
    payment = shop.payments[page.rpartition("/")[2]]
    payment["amount"] = "0.01"
    assert (await shop.pay(page))["status"] == "refunded"
    await status(shop.gateway, order_id, "held")
    assert await shop.event_types() == ["held"]


async def test_a_failure_that_the_gateway_refuses_is_not_told_for_ever(shop: Shop) -> None:
    page = await shop.checkout(await order(shop.gateway, "radio"))
    payment = shop.payments[page.rpartition("/")[2]]
    payment["reference"] = "0" * 32
    assert (await shop.pay(page, "failed"))["status"] == "failed"


async def test_a_payment_is_told_again_while_the_gateway_can_not_take_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    payments = shop.gateway.context.holds.payments
    deliveries: list[str | None] = []
    take = payments.take

    async def fails_twice(payment: Any) -> Any:
        deliveries.append(payment.webhook_id)
        if len(deliveries) < 3:
            raise LedgerUnavailable("away")
        return await take(payment)

    monkeypatch.setattr(payments, "take", fails_twice)
    order_id = await order(shop.gateway, "radio")
    await shop.pay(await shop.checkout(order_id))
    await status(shop.gateway, order_id, "confirmed")
    assert len(deliveries) == 3
    assert len(set(deliveries)) == 1


@pytest.mark.parametrize("path", ["notices", "events"])
async def test_a_message_of_somebody_else_is_refused(shop: Shop, path: str) -> None:
    body = json.dumps({"type": "order.refund_due", "data": {"payment_id": "pay_1"}}).encode()
    signed = signed_headers([parse_secret(new_secret())], unique("msg"), int(time.time()), body)
    for headers in ({}, signed):
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{shop.url}/{path}", data=body, headers=headers) as answer,
        ):
            assert answer.status == 401
