"""What a gateway hears over the fanout exchange, whatever else is published there."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from flashsale.domain.order_ids import random_order_id
from flashsale.domain.order_states import Status
from flashsale.messages.announcements import BatchDecided, Decision, encode_announcement
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.settings import load_settings
from flashsale.runtime.stack import Stack, open_stack
from gateway.app import create_app, serving

_NOT_UTF8 = b"\xff\xfe"

Gateway = tuple[Stack, str, GatewayMetrics]


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[Gateway]:
    settings = load_settings(database_url=sqlite_url, gateway_port=0)
    metrics = GatewayMetrics()
    async with (
        open_stack(settings) as stack,
        serving(create_app(settings, stack, b"a secret", metrics)) as url,
    ):
        yield stack, url, metrics


def announcements_that_can_not_be_decoded() -> list[bytes]:
    taken = msgspec.msgpack.encode(["taken", [["id", "NN", 1]]])
    return [
        b"",
        b"not msgpack",
        taken.replace(b"NN", _NOT_UTF8),
        msgspec.msgpack.encode(["taken", "x"]),
        msgspec.msgpack.encode(["something new", 1]),
        msgspec.msgpack.encode(["decided", [["id", "no such state", None, "tv", 1]], [], 1.0]),
        b"\x91" * 100_000,  # nested too deeply
    ]


@pytest.mark.parametrize("body", announcements_that_can_not_be_decoded(), ids=range(7))
async def test_an_announcement_that_can_not_be_decoded_is_counted_and_skipped(
    gateway: Gateway, body: bytes
) -> None:
    stack, url, metrics = gateway
    order_id = random_order_id()
    decided = BatchDecided([Decision(order_id, Status.CONFIRMED, None, "tv", 1)], [], 1.0)
    async with aiohttp.ClientSession(url) as client, asyncio.timeout(60):
        while (await client.get("/readyz")).status != 200:
            await asyncio.sleep(0.01)
        for message in (body, encode_announcement(decided)):
            await stack.broker.publish(
                stack.topology.outcomes, "", message, message_id="", mandatory=False
            )
        while (answer := await client.get(f"/orders/{order_id}")).status != 200:
            await asyncio.sleep(0.01)
        assert (await answer.json())["status"] == "confirmed"
        assert (await client.get("/readyz")).status == 200
    skipped = metrics.registry.get_sample_value("flashsale_undecodable_announcements_total")
    assert skipped == 1


async def test_the_announcement_of_an_older_consumer_is_heard(gateway: Gateway) -> None:
    stack, url, _ = gateway
    order_id = random_order_id()
    # Version 0.1.0 ended it with the measured rate.
    old = msgspec.msgpack.encode(
        ["decided", [[order_id, "rejected", "sold_out", "tv", 1]], [], 9.5]
    )
    async with aiohttp.ClientSession(url) as client, asyncio.timeout(60):
        while (await client.get("/readyz")).status != 200:
            await asyncio.sleep(0.01)
        await stack.broker.publish(stack.topology.outcomes, "", old, message_id="", mandatory=False)
        while (answer := await client.get(f"/orders/{order_id}")).status != 200:
            await asyncio.sleep(0.01)
        assert (await answer.json())["reason"] == "sold_out"
