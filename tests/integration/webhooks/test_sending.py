"""What endpoints get: signed events of the orders that they subscribe to, each once."""

import json
import time
from datetime import datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from flashsale.messages.events import encode_event
from tests.integration.services.bench import an_event
from tests.integration.webhooks.builders import ANN
from tests.integration.webhooks.shop import WebhookShop

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_decided_order_is_sent_in_a_signed_envelope(shop: WebhookShop) -> None:
    issued = await shop.endpoint()
    event = an_event(decided_at=time.time())
    async with shop.running():
        await shop.bench.stack.broker.publish(
            shop.bench.stack.topology.events,
            event.topic,
            encode_event(event),
            message_id=event.event_id,
            headers={"traceparent": TRACEPARENT},
        )
        [got] = await shop.receiver.until(1)
        await shop.delivered(issued)

    assert issued.secret is not None
    assert Webhook(issued.secret).verify(got.body.decode(), got.headers) == got.envelope
    assert got.envelope["type"] == "order.confirmed"
    assert datetime.fromisoformat(got.envelope["timestamp"]).timestamp() == pytest.approx(
        event.decided_at, abs=1e-3
    )
    assert got.envelope["data"] == json.loads(encode_event(event))
    assert got.webhook_id == f"{event.event_id}-{issued.endpoint.id}"
    assert {name: got.headers[name] for name in got.headers if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": event.event_id,
        "ce-source": "/sales",
        "ce-type": "order.confirmed",
        "ce-time": got.envelope["timestamp"],
        "ce-subject": event.order_id,
    }
    assert got.headers["traceparent"] == TRACEPARENT
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("flashsale-gateway/")
    [attempt] = await shop.attempts(issued, 1)
    assert (attempt.result, attempt.status, attempt.error) == ("delivered", 204, None)
    assert (attempt.webhook_id, attempt.attempt) == (got.webhook_id, 1)


async def test_an_endpoint_gets_the_types_that_it_subscribes_to(shop: WebhookShop) -> None:
    everything = await shop.endpoint("/all", "order.*")
    await shop.endpoint("/rejected", "order.rejected")
    await shop.endpoint("/disabled", "endpoint.disabled")
    async with shop.running():
        confirmed = await shop.decided()
        rejected = await shop.decided(status="rejected", reason="sold_out")
        await shop.receiver.until(2, "/all")
        await shop.receiver.until(1, "/rejected")
        await shop.delivered(everything)
    assert set(shop.receiver.ids("/all")) == {confirmed.event_id, rejected.event_id}
    assert shop.receiver.ids("/rejected") == [rejected.event_id]
    assert shop.receiver.of("/disabled") == []


async def test_an_event_that_comes_twice_is_sent_once(shop: WebhookShop) -> None:
    issued = await shop.endpoint()
    async with shop.running():
        event = await shop.decided()
        await shop.receiver.until(1)
        await shop.delivered(issued)
        await shop.bench.publish(event)
        last = await shop.decided()
        await shop.receiver.until(2)
    assert shop.receiver.ids() == [event.event_id, last.event_id]


async def test_both_secrets_sign_while_one_is_rotated(shop: WebhookShop) -> None:
    first = await shop.endpoint()
    second = await shop.ledger.webhooks.rotate_secret(first.endpoint.id, ANN, 100.0)
    assert first.secret is not None
    assert second.secret is not None
    async with shop.running():
        await shop.decided()
        [got] = await shop.receiver.until(1)
        for secret in (first.secret, second.secret):
            Webhook(secret).verify(got.body.decode(), got.headers)
        shop.clock.ahead = 101.0
        await shop.decided()
        later = (await shop.receiver.until(2))[1]
    assert later.headers["webhook-signature"].count("v1,") == 1
    # The package compares with the clock of this machine, which is not ahead.
    signed = {**later.headers, "webhook-timestamp": str(int(time.time()))}
    with pytest.raises(WebhookVerificationError):
        Webhook(first.secret).verify(later.body.decode(), signed)


async def test_an_endpoint_gets_each_event_that_is_decided_after_it_was_added(
    shop: WebhookShop,
) -> None:
    async with shop.running():
        before = await shop.decided()
        await shop.bench.until(lambda: shop.bench.has_done(shop.service, before))
        await shop.endpoint()
        event = await shop.decided()
        await shop.receiver.until(1)
    assert shop.receiver.ids() == [event.event_id]


async def test_many_events_go_to_several_endpoints_once_each(shop: WebhookShop) -> None:
    paths = ("/a", "/b", "/c")
    issued = [await shop.endpoint(path) for path in paths]
    async with shop.running():
        events = [an_event(decided_at=time.time()) for _ in range(100)]
        await shop.bench.publish(*events)
        for path, endpoint in zip(paths, issued, strict=True):
            await shop.receiver.until(100, path)
            await shop.delivered(endpoint)
        await shop.shown("flashsale_webhook_attempts_total", 300, result="delivered")
    for path in paths:
        assert sorted(shop.receiver.ids(path)) == sorted(event.event_id for event in events)
        assert shop.receiver.most_open[path] <= 8


async def test_two_processes_share_the_deliveries(shop: WebhookShop) -> None:
    issued = await shop.endpoint()
    async with shop.running():
        events = [an_event(decided_at=time.time()) for _ in range(50)]
        await shop.bench.publish(*events)
        async with shop.second_process():
            await shop.receiver.until(50)
            await shop.delivered(issued)
    assert sorted(shop.receiver.ids()) == sorted(event.event_id for event in events)
