"""The order service of a shop, over HTTP."""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, ClientTimeout
from aiohttp.test_utils import TestServer

from flashsale.messages.standard_webhooks import parse_secret, signed_headers
from loadtest.receiver.app import Shop, create_app
from loadtest.receiver.behaviour import Behaviour
from loadtest.receiver.running import receiver
from loadtest.receiver.saturated_database import Limits
from loadtest.receiver.stats import Stats

OLD, NEW = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
SIGNED = Shop(keys=[parse_secret(NEW)], stock=100)


def an_envelope(order_id: str, type_: str = "order.placed", **data: Any) -> dict[str, Any]:
    order = {"order_id": order_id, "sku": "tv", "customer_id": "ann", "quantity": 1}
    return {"type": type_, "timestamp": "2026-11-28T20:00:00Z", "data": order | data}


class Caller:
    """Sends requests to the service, and reads what it has seen."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def post(
        self, body: object, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._session.post("/orders", data=encoded, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), dict(answer.headers)

    async def deliver(
        self, body: object, message_id: str, secrets: Sequence[str] = (NEW,), **more: str
    ) -> tuple[int, Any, dict[str, str]]:
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        keys = [parse_secret(secret) for secret in secrets]
        signed = signed_headers(keys, message_id, int(time.time()), encoded)
        return await self.post(encoded, signed | more)

    async def stats(self) -> Stats:
        async with self._session.get("/stats") as answer:
            return msgspec.json.decode(await answer.read(), type=Stats)

    async def behave(self, body: object) -> int:
        async with self._session.put("/behaviour", json=body) as answer:
            return answer.status


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[Caller]:
    server = TestServer(create_app(shop))
    await server.start_server()
    async with ClientSession(server.make_url("/"), timeout=ClientTimeout(10)) as session:
        try:
            yield Caller(session)
        finally:
            await server.close()


async def test_a_signed_order_is_taken_and_answered_with_a_reference() -> None:
    async with serving(SIGNED) as shop:
        status, answer, _ = await shop.deliver(an_envelope("a"), "a", secrets=(OLD, NEW))
        assert (status, answer) == (201, {"order_ref": "shop-000001"})
        assert (await shop.stats()).orders == 1


@pytest.mark.parametrize(
    ("secret", "body", "status"),
    [
        (OLD, an_envelope("a"), 401),
        (NEW, an_envelope("b"), 400),
        (NEW, an_envelope("a", type_="order.cancelled"), 400),
        (NEW, an_envelope("a", quantity=0), 400),
        (NEW, {"sku": "tv", "customer_id": "ann"}, 400),
        (NEW, [], 400),
        (NEW, b"[" * 5_000, 400),
        (NEW, b"\xff", 400),
    ],
)
async def test_a_message_that_is_not_signed_or_not_an_order_is_refused(
    secret: str, body: object, status: int
) -> None:
    async with serving(SIGNED) as shop:
        found, problem, headers = await shop.deliver(body, "a", secrets=(secret,))
        assert found == problem["status"] == status
        assert headers["Content-Type"] == "application/problem+json"
        stats = await shop.stats()
        assert (stats.orders, stats.arrivals, sum(stats.failed)) == (0, [], 1)


async def test_an_order_of_a_shopper_is_refused_where_messages_are_signed() -> None:
    async with serving(SIGNED) as shop:
        status, problem, _ = await shop.post({"sku": "tv", "customer_id": "ann"})
        assert (status, problem["type"]) == (401, "/problems/bad-signature")


async def test_two_headers_with_different_keys_are_refused() -> None:
    async with serving(SIGNED) as shop:
        status, _, _ = await shop.deliver(an_envelope("a"), "a", **{"Idempotency-Key": "b"})
        assert status == 400
        status, _, _ = await shop.deliver(an_envelope("a"), "a", **{"Idempotency-Key": "a"})
        assert status == 201


async def test_a_key_that_comes_twice_makes_one_order() -> None:
    async with serving(SIGNED) as shop:
        first, again = [await shop.deliver(an_envelope("a"), "a") for _ in range(2)]
        assert first[:2] == again[:2]
        stats = await shop.stats()
        assert (stats.orders, stats.repeated, stats.doubled) == (1, 1, 0)
        assert sum(stats.arrivals) == 2


async def test_a_key_that_comes_while_its_first_request_is_busy_decides_nothing() -> None:
    slow = replace(SIGNED, limits=Limits(capacity=2, connections=1, patience=5))
    async with serving(slow) as shop:
        answers = await asyncio.gather(*(shop.deliver(an_envelope("a"), "a") for _ in range(2)))
        busy, made = sorted(answers, key=lambda answer: answer[0], reverse=True)
        assert (busy[0], busy[1]["type"]) == (409, "/problems/in-progress")
        assert made[0] == 201
        assert (await shop.stats()).orders == 1


async def test_a_shop_that_ignores_keys_is_seen_to_double_orders() -> None:
    async with serving(replace(SIGNED, honours_keys=False)) as shop:
        for _ in range(2):
            await shop.deliver(an_envelope("a"), "a")
        assert (await shop.stats()).doubled == 1


async def test_a_sold_out_sale_is_a_problem_of_its_own() -> None:
    async with serving(replace(SIGNED, stock=1)) as shop:
        await shop.deliver(an_envelope("a"), "a")
        status, problem, headers = await shop.deliver(an_envelope("b"), "b")
        assert (status, problem["type"]) == (409, "/problems/sold-out")
        assert headers["Content-Type"] == "application/problem+json"
        stats = await shop.stats()
        assert (stats.sold, stats.sold_out, stats.oversold) == (1, 1, 0)
        assert (sum(stats.answered), sum(stats.failed)) == (2, 0)


async def test_an_order_of_more_than_is_left_is_told_so() -> None:
    async with serving(replace(SIGNED, stock=1)) as shop:
        status, problem, _ = await shop.deliver(an_envelope("a", quantity=2), "a")
        assert (status, problem["type"]) == (409, "/problems/not-enough-left")
        assert (await shop.deliver(an_envelope("b"), "b"))[0] == 201


async def test_a_batch_is_answered_one_by_one() -> None:
    async with serving(replace(SIGNED, stock=1)) as shop:
        await shop.deliver(an_envelope("a"), "a")
        batch = [an_envelope(*each) for each in (("a",), ("b",), ("c", "order.confirmed"))]
        status, answers, _ = await shop.deliver(batch, "a-batch")
        assert status == 200
        assert [answer["status"] for answer in answers] == [201, 409, 201]
        assert answers[0]["order_ref"] == "shop-000001"
        assert answers[1]["type"] == "/problems/sold-out"
        stats = await shop.stats()
        assert (stats.requests, sum(stats.arrivals), stats.orders) == (2, 4, 2)


async def test_a_shopper_orders_from_the_shop_itself() -> None:
    async with serving(Shop(stock=2)) as shop:
        order = {"sku": "tv", "customer_id": "ann"}
        for key in ("a", "a", "b"):
            assert (await shop.post(order, {"Idempotency-Key": key}))[0] == 201
        assert (await shop.post(order))[0] == 409
        assert (await shop.post({"sku": "tv"}))[0] == 400
        stats = await shop.stats()
        assert (stats.orders, stats.arrivals_max_1s, stats.stock) == (2, 4, 2)


async def test_a_flood_over_the_capacity_is_answered_with_503_and_then_all_is_well() -> None:
    limits = Limits(capacity=40, connections=2, patience=0.2)
    async with serving(Shop(limits=limits)) as shop:
        order = {"sku": "tv", "customer_id": "ann"}
        statuses = [
            each[0] for each in await asyncio.gather(*(shop.post(order) for _ in range(80)))
        ]
        assert set(statuses) == {201, 503}
        assert statuses.count(503) > 40
        assert (await shop.post(order))[0] == 201
        stats = await shop.stats()
        assert sum(stats.failed) == statuses.count(503)
        assert stats.orders == statuses.count(201) + 1
        assert stats.waiting == 0


async def test_a_busy_answer_is_of_every_order_until_it_is_told_to_stop() -> None:
    async with serving(replace(SIGNED, behaviour=Behaviour(429, "3"))) as shop:
        status, _, headers = await shop.deliver(an_envelope("a"), "a")
        assert (status, headers["Retry-After"]) == (429, "3")
        assert await shop.behave({"answer": 9}) == 400
        assert await shop.behave({}) == 204
        assert (await shop.deliver(an_envelope("a"), "a"))[0] == 201
        stats = await shop.stats()
        assert (sum(stats.arrivals), sum(stats.failed), stats.orders) == (2, 1, 1)


async def test_a_service_that_is_slow_or_hangs_is_no_faster_than_told() -> None:
    async with serving(SIGNED) as shop:
        await shop.behave({"delay_seconds": 0.3})
        began = time.monotonic()
        assert (await shop.deliver(an_envelope("a"), "a"))[0] == 201
        assert time.monotonic() - began >= 0.3
        await shop.behave({"hangs": True})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await shop.deliver(an_envelope("b"), "b")
        stats = await shop.stats()
        assert (sum(stats.arrivals), stats.orders) == (2, 1)


def test_a_receiver_is_a_process_with_options_and_a_secret(tmp_path: Path) -> None:
    with receiver(tmp_path, ["--stock", "7"], f"{OLD} {NEW}") as running:
        assert running.stats().stock == 7
        assert running.orders() == []
        running.behave(Behaviour(answer=503))
        running.process.stop()
        assert running.process.output == ""


@pytest.mark.parametrize(
    ("options", "secret", "words"),
    [
        (["--port", "1", "--capacity", "0"], None, "capacity"),
        (["--port", "1"], "a-password", "RECEIVER_SECRET: a secret begins with whsec_"),
        ([], None, "--port"),
    ],
)
async def test_wrong_options_are_one_clear_line(
    options: list[str], secret: str | None, words: str
) -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.receiver", *options),
        env=os.environ | ({"RECEIVER_SECRET": secret} if secret else {}),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await running.communicate()
    assert running.returncode == 2
    assert words in errors.decode().splitlines()[-1]
    assert "Traceback" not in errors.decode()
