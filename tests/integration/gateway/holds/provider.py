"""A payment provider, and shoppers whose orders are held."""

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from flashsale.messages.standard_webhooks import parse_secret, signed_headers
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.background import Background
from gateway.app import create_app, serving
from gateway.context import CONTEXT
from tests.conftest import unique
from tests.integration.gateway.embedded_gateway import SECRET as GATEWAY_SECRET
from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway, until

SECRET = "whsec_" + "c2VjcmV0" * 5
"""A secret of 30 bytes in base64."""


def a_payment(order_id: str, **changes: Any) -> dict[str, Any]:
    body = {"order_id": order_id, "payment_id": unique("pay"), "outcome": "succeeded"}
    return body | changes


async def pay(
    gateway: EmbeddedGateway,
    body: dict[str, Any] | bytes,
    *,
    secret: str = SECRET,
    delivery: str | None = None,
    signed_at: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Tell the gateway of a payment, as a provider does."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = int(time.time() if signed_at is None else signed_at)
    signed = signed_headers([parse_secret(secret)], delivery or unique("msg"), at, sent)
    return await gateway.call(
        "POST",
        "/payments",
        data=sent,
        headers={"Content-Type": "application/json", **signed, **(headers or {})},
    )


async def status(gateway: EmbeddedGateway, order_id: str, wanted: str) -> Any:
    """Return the view of an order once it is in a state."""
    ask = await until(
        lambda: gateway.call("GET", f"/orders/{order_id}"),
        lambda answer: answer.status == 200 and answer.body["status"] == wanted,
    )
    return ask.body


async def order(gateway: EmbeddedGateway, sku: str, wanted: str = "held", **changes: Any) -> str:
    """Order, and return the id once the order is in a state."""
    body = {"customer_id": unique("c")} | changes
    answer = await gateway.order(sku=sku, **body)
    assert answer.status == 202, answer.body
    order_id = str(answer.body["order_id"])
    await status(gateway, order_id, wanted)
    return order_id


async def stop_drain(gateway: EmbeddedGateway) -> None:
    tasks, gateway.tasks = gateway.tasks, []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def another(gateway: EmbeddedGateway, **changes: Any) -> AsyncIterator[EmbeddedGateway]:
    """Open another gateway on the same broker and database."""
    settings = gateway.settings.model_copy(update=changes)
    app = create_app(settings, gateway.stack, GATEWAY_SECRET, GatewayMetrics())
    async with Background() as background:
        app[CONTEXT] = dataclasses.replace(app[CONTEXT], background=background)
        async with serving(app) as url:
            yield EmbeddedGateway(url, gateway.stack, app, settings, gateway.client)
            app[CONTEXT].lifecycle.stop()


async def at_once(*calls: Any) -> list[Answer]:
    return list(await asyncio.gather(*calls))
