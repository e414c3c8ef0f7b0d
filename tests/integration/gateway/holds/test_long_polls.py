"""A long poll ends with the next state of an order, also if that came before the request."""

import asyncio

import pytest

from tests.integration.gateway.embedded_gateway import EmbeddedGateway
from tests.integration.gateway.holds.provider import a_payment, order, pay


async def test_a_long_poll_tells_a_hold_at_once_to_a_client_that_has_not_seen_it(
    gateway: EmbeddedGateway,
) -> None:
    order_id = await order(gateway, "radio")
    for seen in ("queued", "waitlisted"):
        headers = {"Prefer": f"wait=20; seen={seen}"}
        async with asyncio.timeout(10):
            answer = await gateway.call("GET", f"/orders/{order_id}", headers=headers)
        assert answer.body["status"] == "held"


@pytest.mark.parametrize(
    "prefer", ["wait=20", "wait=20; seen=held", 'respond-async, wait=20;seen="held"']
)
async def test_a_long_poll_of_a_hold_that_was_seen_ends_with_its_payment(
    gateway: EmbeddedGateway, prefer: str
) -> None:
    order_id = await order(gateway, "radio")
    polling = asyncio.create_task(
        gateway.call("GET", f"/orders/{order_id}", headers={"Prefer": prefer})
    )
    known = gateway.context.orders.open.all()
    assert order_id in known
    done, _ = await asyncio.wait([polling], timeout=0.5)
    assert not done
    assert (await pay(gateway, a_payment(order_id))).status == 200
    async with asyncio.timeout(60):
        assert (await polling).body["status"] == "confirmed"
