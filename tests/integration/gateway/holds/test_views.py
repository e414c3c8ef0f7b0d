"""What a shopper sees of an order that is held or in line: polls, long polls, retries, streams."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flashsale.domain.moments import parse_moment
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, until
from tests.integration.gateway.holds.provider import a_payment, order, pay, status, stop_drain

Told = tuple[str, Any, str | None]


@asynccontextmanager
async def stream(
    gateway: EmbeddedGateway, order_id: str, **headers: str
) -> AsyncIterator[AsyncIterator[Told]]:
    """Open the stream of an order, and yield its events but the progress of the queue."""
    path = f"{gateway.url}/orders/{order_id}/events"
    async with asyncio.timeout(60), gateway.client.get(path, headers=headers) as answer:
        assert answer.status == 200

        async def told() -> AsyncIterator[Told]:
            fields: dict[str, str] = {}
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if line != b"\n":
                    fields[name] = value
                    continue
                if fields.get("event", "progress") != "progress":
                    yield fields["event"], json.loads(fields["data"]), fields.get("id")
                fields = {}

        yield told()


async def test_a_held_order_says_until_when_and_where_to_pay(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    seen = (await gateway.call("GET", f"/orders/{order_id}")).body
    assert seen == {
        "order_id": order_id,
        "status": "held",
        "sku": "radio",
        "quantity": 1,
        "expires_at": seen["expires_at"],
        "expires_in_seconds": seen["expires_in_seconds"],
        "pay_url": f"https://pay.example/radio?order={order_id}",
    }
    ends = parse_moment(seen["expires_at"]).timestamp()
    assert seen["expires_at"].endswith("Z")
    assert abs(ends - time.time() - seen["expires_in_seconds"]) < 5
    assert 580 < seen["expires_in_seconds"] <= 600


async def test_the_time_that_is_left_is_by_the_clock_of_the_drain(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "radio")
    await stop_drain(gateway)
    clock = gateway.context.drain.clock
    ahead = clock.now() + 590
    clock.heard(ahead, time.monotonic())
    seen = (await gateway.call("GET", f"/orders/{order_id}")).body
    assert 0 < seen["expires_in_seconds"] <= 11


async def test_a_hold_whose_time_is_over_is_held_until_the_drain_ends_it(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "lamp")
    await stop_drain(gateway)
    clock = gateway.context.drain.clock
    clock.heard(clock.now() + 3_600, time.monotonic())
    seen = (await gateway.call("GET", f"/orders/{order_id}")).body
    assert (seen["status"], seen["expires_in_seconds"]) == ("held", 0)
    assert "pay_url" not in seen
    assert "extendable" not in seen


async def test_a_retry_of_an_order_is_told_that_it_is_held_or_in_line(
    gateway: EmbeddedGateway,
) -> None:
    for customer, wanted in (("ann", "held"), ("bob", "waitlisted"), ("cyd", "waitlisted")):
        first = await gateway.order(key=customer, sku="lamp", customer_id=customer)
        await status(gateway, first.body["order_id"], wanted)
    held = await gateway.order(key="ann", sku="lamp", customer_id="ann")
    assert (held.status, held.body["status"]) == (202, "held")
    assert (held.body["position"], held.body["eta_seconds"]) == (0, 0)
    assert held.body["expires_in_seconds"] > 500
    in_line = await gateway.order(key="cyd", sku="lamp", customer_id="cyd")
    assert in_line.body == {
        "order_id": in_line.body["order_id"],
        "status": "waitlisted",
        "sku": "lamp",
        "quantity": 1,
        "position": 2,
        "eta_seconds": None,
    }


async def test_a_long_poll_waits_for_the_next_state_of_a_held_order(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "radio")
    waits = asyncio.create_task(
        gateway.call("GET", f"/orders/{order_id}", headers={"Prefer": "wait=30"})
    )
    known = gateway.context.orders.get(order_id)  # type: ignore[arg-type]
    assert known is not None
    async with asyncio.timeout(60):
        while known._change is None:
            await asyncio.sleep(0.01)
    assert not waits.done()
    assert (await pay(gateway, a_payment(order_id))).status == 200
    assert (await waits).body["status"] == "confirmed"


async def test_a_stream_tells_each_state_and_ends_with_the_last(gateway: EmbeddedGateway) -> None:
    holder = await order(gateway, "lamp")
    first, second = [await order(gateway, "lamp", "waitlisted") for _ in range(2)]
    async with stream(gateway, second) as events:
        name, data, event_id = await anext(events)
        assert (name, data["position"], event_id) == ("waitlisted", 2, None)
        await gateway.call("POST", f"/orders/{holder}/cancel")
        name, data, _ = await anext(events)
        assert (name, data["position"]) == ("waitlisted", 1)
        await status(gateway, first, "held")
        await gateway.call("POST", f"/orders/{first}/cancel")
        name, data, _ = await anext(events)
        assert (name, data["pay_url"]) == ("held", f"https://pay.example/lamp?order={second}")
        await gateway.call("POST", f"/orders/{second}/extend")
        name, data, _ = await anext(events)
        assert (name, data["extended"]) == ("held", True)
        await pay(gateway, a_payment(second))
        name, data, last_id = await anext(events)
        assert (name, data["status"], last_id) == ("confirmed", "confirmed", "final-confirmed")
        assert [event async for event in events] == []
    again = await gateway.call(
        "GET", f"/orders/{second}/events", headers={"Last-Event-ID": "final-confirmed"}
    )
    assert again.status == 204


async def test_a_stream_of_a_cancelled_order_ends(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    async with stream(gateway, order_id) as events:
        assert (await anext(events))[0] == "held"
        await gateway.call("POST", f"/orders/{order_id}/cancel")
        told = [event async for event in events]
        assert [(name, data["reason"]) for name, data, _ in told] == [("cancelled", "by_customer")]


async def test_a_stream_outlives_that_its_order_is_forgotten(gateway: EmbeddedGateway) -> None:
    order_id = await order(gateway, "radio")
    async with stream(gateway, order_id) as events:
        await anext(events)
        orders = gateway.context.orders
        orders._seconds = -1  # all that is decided is old
        await order(gateway, "tv", "confirmed")
        orders._seconds = 600
        name, data, _ = await anext(events)
        assert (name, data["order_id"]) == ("held", order_id)
        await pay(gateway, a_payment(order_id))
        assert [name for name, _, _ in [e async for e in events]] == ["confirmed"]


async def test_the_rest_of_the_line_is_told_when_it_moves(gateway: EmbeddedGateway) -> None:
    holder = await order(gateway, "lamp")
    in_line = [await order(gateway, "lamp", "waitlisted") for _ in range(3)]
    await gateway.call("POST", f"/orders/{holder}/cancel")
    for number, order_id in enumerate(in_line[1:], start=1):
        await until(
            lambda i=order_id: gateway.call("GET", f"/orders/{i}"),  # type: ignore[misc]
            lambda seen, n=number: seen.body["position"] == n,  # type: ignore[misc]
        )
