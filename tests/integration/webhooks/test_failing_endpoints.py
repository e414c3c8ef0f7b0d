"""Endpoints that fail: tried again for more than a day, and then disabled. Others go on."""

import asyncio
import time
from collections import Counter

import pytest
from aiohttp import web

import services.builtin.webhook.sender
from flashsale.domain.webhooks.schedule import RETRY_SECONDS
from tests.integration.services.bench import an_event
from tests.integration.webhooks.builders import ANN
from tests.integration.webhooks.receiver import status
from tests.integration.webhooks.shop import WebhookShop


async def test_a_delivery_is_tried_over_a_day_and_then_its_endpoint_is_disabled(
    shop: WebhookShop,
) -> None:
    dead = await shop.endpoint("/dead")
    other = await shop.endpoint("/other", "endpoint.disabled")
    shop.receiver.answers["/dead"] = status(500)
    async with shop.running():
        event = await shop.decided()
        for number, pause in enumerate(RETRY_SECONDS, 1):
            await shop.attempts(dead, number)
            shop.clock.ahead += pause * 1.11 + 1
        reason = await shop.disabled(dead)
        [told] = await shop.receiver.until(1, "/other")
        await shop.delivered(other)
        await shop.shown("flashsale_webhook_attempts_total", 7, result="failed")
        await shop.shown("flashsale_webhook_attempts_total", 1, result="dead")

    attempts = await shop.attempts(dead, 8)
    assert [attempt.result for attempt in attempts] == ["failed"] * 7 + ["dead"]
    assert [attempt.attempt for attempt in attempts] == list(range(1, 9))
    assert Counter(shop.receiver.ids("/dead")) == {event.event_id: 8}
    assert len({one.webhook_id for one in shop.receiver.of("/dead")}) == 1
    assert len({one.body for one in shop.receiver.of("/dead")}) == 1
    for earlier, later, pause in zip(attempts, attempts[1:], RETRY_SECONDS, strict=False):
        assert later.at - earlier.at >= pause
    assert reason == "a delivery failed for the last time"
    assert told.envelope["type"] == "endpoint.disabled"
    assert told.envelope["data"] == {
        "endpoint_id": dead.endpoint.id,
        "reason": reason,
    }, "an address may hold a token, and is told to nobody else"
    entry = (await shop.ledger.audit_log.entries(1))[0]
    assert (entry.action, entry.who, entry.target, entry.reason) == (
        "webhook.disable",
        "automatic",
        dead.endpoint.id,
        reason,
    )
    [letter] = await shop.ledger.webhooks.deliveries(dead.endpoint.id, 10)
    assert letter.dead_at is not None
    assert letter.error == "answer 500"


async def test_an_answer_410_disables_the_endpoint_at_once(shop: WebhookShop) -> None:
    issued = await shop.endpoint()
    shop.receiver.answers["/hook"] = status(410)
    async with shop.running():
        await shop.decided()
        assert await shop.disabled(issued) == "the endpoint answered 410 Gone"
        await shop.decided()
        shop.clock.ahead = 1e6
        # What is written now is for a later event, so it is known that nothing else was sent.
        shop.receiver.answers["/hook"] = status(200)
        await shop.endpoint("/later")
        await shop.decided()
        await shop.receiver.until(1, "/later")
        assert len(shop.receiver.of()) == 1
        await shop.ledger.webhooks.enable_endpoint(issued.endpoint.id, ANN)
        await shop.delivered(issued)
    assert len(set(shop.receiver.ids())) == 1, "the one that was refused, and no later one"


async def test_a_redirect_is_a_failure_and_is_not_followed(shop: WebhookShop) -> None:
    issued = await shop.endpoint()
    shop.receiver.answers["/hook"] = status(307, Location=shop.receiver.url("/elsewhere"))
    async with shop.running():
        await shop.decided()
        [attempt] = await shop.attempts(issued, 1)
    assert (attempt.result, attempt.status) == ("failed", 307)
    assert attempt.error == "answer 307: redirects are not followed"
    assert shop.receiver.of("/elsewhere") == []


@pytest.mark.parametrize("code", [429, 503])
async def test_an_endpoint_that_asks_for_a_pause_gets_it(shop: WebhookShop, code: int) -> None:
    issued = await shop.endpoint()
    shop.receiver.answers["/hook"] = status(code, Retry_After="120")
    async with shop.running():
        event = await shop.decided()
        [first] = await shop.attempts(issued, 1)
        shop.receiver.answers["/hook"] = status(200)
        later = await shop.decided()
        shop.clock.ahead = 100.0
        other = await shop.endpoint("/other")
        await shop.decided()
        await shop.delivered(other)
        assert len(shop.receiver.of()) == 1, "the whole endpoint is left alone"
        shop.clock.ahead = 125.0
        await shop.delivered(issued)
    assert (first.result, first.status) == ("failed", code)
    assert set(shop.receiver.ids()) >= {event.event_id, later.event_id}
    assert all(a.at - first.at >= 120 for a in (await shop.attempts(issued, 3))[1:])


async def test_a_slow_endpoint_does_not_hold_up_a_fast_one(
    shop: WebhookShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHSALE_WEBHOOK_CONCURRENCY", "4")
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    shop.receiver.answers["/slow"] = hang
    slow, fast = await shop.endpoint("/slow"), await shop.endpoint("/fast")
    async with shop.running():
        await shop.bench.publish(*(an_event(decided_at=time.time()) for _ in range(40)))
        await shop.receiver.until(40, "/fast")
        await shop.delivered(fast)
        assert 1 <= len(shop.receiver.of("/slow")) <= 3, "one slot is left to the other"
        assert await shop.ledger.webhooks.deliveries(slow.endpoint.id, 100)
        released.set()
        await shop.receiver.until(40, "/slow")


async def test_an_endpoint_that_does_not_answer_in_time_is_tried_again(
    shop: WebhookShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHSALE_WEBHOOK_TIMEOUT_SECONDS", "0.3")
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    shop.receiver.answers["/hook"] = hang
    issued = await shop.endpoint()
    async with shop.running():
        await shop.decided()
        [attempt] = await shop.attempts(issued, 1)
        released.set()
    assert (attempt.result, attempt.status) == ("failed", None)
    assert attempt.error == "no answer within 0.3 s"
    assert 300 <= attempt.milliseconds < 3_000


async def test_a_failing_endpoint_gets_one_delivery_at_a_time_and_then_a_pause(
    shop: WebhookShop,
) -> None:
    issued = await shop.endpoint()
    shop.receiver.answers["/hook"] = status(500)
    async with shop.running():
        await shop.decided()
        await shop.attempts(issued, 1)
        shop.receiver.most_open.clear()
        await shop.bench.publish(*(an_event(decided_at=time.time()) for _ in range(50)))
        await shop.attempts(issued, 5)
        paused = await _paused(shop, issued.endpoint.id)
        assert paused - shop.clock() <= 5
        shop.receiver.answers["/hook"] = status(200)
        assert shop.receiver.most_open["/hook"] == 1
        tried = len(shop.receiver.of())
        assert tried == 5
        shop.clock.ahead += 400
        await shop.delivered(issued)
    assert len(shop.receiver.of()) == 5 + 51
    endpoint = await shop.ledger.webhooks.find_endpoint(issued.endpoint.id)
    assert (endpoint.failures, endpoint.paused_until, endpoint.failing_since) == (0, None, None)


async def _paused(shop: WebhookShop, endpoint_id: str) -> float:
    async with asyncio.timeout(60):
        while True:
            endpoint = await shop.ledger.webhooks.find_endpoint(endpoint_id)
            if endpoint.paused_until is not None:
                return endpoint.paused_until
            await asyncio.sleep(0.01)


async def test_later_events_of_an_order_wait_for_the_earlier_one(shop: WebhookShop) -> None:
    issued = await shop.endpoint()
    shop.receiver.answers["/hook"] = status(500)
    async with shop.running():
        first = await shop.decided()
        await shop.attempts(issued, 1)
        second = await shop.decided(order_id=first.order_id, status="rejected", reason="sold_out")
        await shop.bench.until(lambda: shop.bench.has_done(shop.service, second))
        shop.receiver.answers["/hook"] = status(200)
        others = [await shop.decided() for _ in range(3)]
        await shop.receiver.until(4)
        assert second.event_id not in shop.receiver.ids()
        shop.clock.ahead = 6.0
        await shop.delivered(issued)
    ids = shop.receiver.ids()
    assert ids[0] == first.event_id
    assert set(ids[1:4]) == {other.event_id for other in others}
    assert ids[4:] == [first.event_id, second.event_id]


async def test_an_answer_of_100_mb_is_not_read(shop: WebhookShop) -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(bytes(1_000_000))
            written += 1_000_000
        return response

    shop.receiver.answers["/hook"] = endless
    issued = await shop.endpoint()
    async with shop.running():
        await shop.decided()
        [attempt] = await shop.attempts(issued, 1)
        await shop.delivered(issued)
    assert (attempt.result, attempt.status) == ("delivered", 200)
    assert written < 20_000_000, "what fits in the buffers of the sockets"


async def test_an_answer_that_hangs_after_its_headers_counts(shop: WebhookShop) -> None:
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"1")
        await released.wait()
        return response

    shop.receiver.answers["/hook"] = hang
    issued = await shop.endpoint()
    async with shop.running():
        await shop.decided()
        [attempt] = await shop.attempts(issued, 1)
        released.set()
    assert (attempt.result, attempt.status) == ("delivered", 200)
    assert attempt.milliseconds < 4_000, "before the timeout of a request"


async def test_too_many_waiting_deliveries_disable_an_endpoint(
    shop: WebhookShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHSALE_WEBHOOK_BACKLOG", "3")
    monkeypatch.setattr("services.builtin.webhook.housekeeping._SHOW_SECONDS", 0.05)
    issued, other = await shop.endpoint(), await shop.endpoint("/other")
    shop.receiver.answers["/hook"] = status(500)
    async with shop.running():
        for count in range(1, 5):
            await shop.decided()
            await shop.receiver.until(count, "/other")
            await shop.delivered(other)
        assert await shop.disabled(issued) == "more than 3 deliveries waited"
        await shop.receiver.until(5, "/other")
        await shop.delivered(other)
        ids = issued.endpoint.id, other.endpoint.id
        disabled = "flashsale_webhook_endpoint_disabled"
        await shop.shown(disabled, 1, endpoint=ids[0], by="failures")
        await shop.shown(disabled, 0, endpoint=ids[0], by="operator")
        await shop.shown(disabled, 0, endpoint=ids[1], by="failures")
        await shop.shown("flashsale_webhook_pending", 4, endpoint=ids[0])
        await shop.ledger.webhooks.disable_endpoint(ids[0], ANN)
        await shop.ledger.webhooks.disable_endpoint(ids[1], ANN)
        for each in ids:
            await shop.shown(disabled, 1, endpoint=each, by="operator")
            await shop.shown(disabled, 0, endpoint=each, by="failures")


async def test_a_stopped_service_leaves_what_is_in_flight_to_the_next_one(
    shop: WebhookShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.builtin.webhook.sender, "_SHUTDOWN_SECONDS", 0.1)
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    shop.receiver.answers["/hook"] = hang
    issued = await shop.endpoint()
    async with shop.running():
        event = await shop.decided()
        await shop.receiver.until(1)
        stopping_at = time.monotonic()
    assert time.monotonic() - stopping_at < 4
    released.set()
    async with shop.running():
        await shop.delivered(issued)
    assert shop.receiver.ids() == [event.event_id] * 2
    assert len({one.webhook_id for one in shop.receiver.of()}) == 1
