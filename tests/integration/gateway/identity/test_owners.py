"""An order is its owner's alone: on every gateway, after restarts, and behind nginx."""

import asyncio
import time
from statistics import median
from typing import Any

import pytest

from flashsale.domain.order_ids import OrderId, random_order_id
from flashsale.domain.order_states import Status
from flashsale.messages.announcements import (
    BatchDecided,
    Decision,
    OrdersTaken,
    Taken,
    encode_announcement,
)
from loadtest.servers import ServerNotFound, nginx
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, until
from tests.integration.gateway.identity.signing import SECRET, a_pass, bearer, token
from tests.integration.gateway.real_shop import RealGateway, RealShop

JWT = {"auth": "jwt", "jwt_secret": SECRET}
ALICE, BOB = bearer(token()), bearer(token(sub="bob"))


async def order(gateway: EmbeddedGateway, headers: dict[str, str] = ALICE) -> str:
    answer = await gateway.call("POST", "/orders", json={"sku": "tv"}, headers=headers)
    assert answer.status == 202
    return str(answer.body["order_id"])


async def test_anothers_order_looks_like_none(guarded: EmbeddedGateway) -> None:
    waiting = await order(guarded)
    none = random_order_id()
    guarded.drain()
    decided = await order(guarded)
    await until(
        lambda: guarded.call("GET", f"/orders/{decided}", headers=ALICE),
        lambda answer: answer.body["status"] == "confirmed",
    )
    for order_id in (waiting, decided):
        for suffix, more in (("", {}), ("", {"Prefer": "wait=5"}), ("/events", {})):
            mine, missing = [
                await guarded.call("GET", f"/orders/{name}{suffix}", headers=BOB | more)
                for name in (order_id, none)
            ]
            assert (mine.status, mine.problem) == (404, "unknown-order")
            assert mine.body == missing.body
            assert {**mine.headers, "Date": ""} == {**missing.headers, "Date": ""}
        async with guarded.client.get(f"{guarded.url}/orders/{order_id}/events") as answer:
            assert answer.status == 401


async def test_anothers_order_takes_as_long_as_none(guarded: EmbeddedGateway) -> None:
    waiting = await order(guarded)
    guarded.drain()
    decided = await order(guarded)
    await until(
        lambda: guarded.call("GET", f"/orders/{decided}", headers=ALICE),
        lambda answer: answer.body["status"] == "confirmed",
    )
    in_ledger = await order(guarded)
    await until(
        lambda: guarded.call("GET", f"/orders/{in_ledger}", headers=ALICE),
        lambda answer: answer.body["status"] == "confirmed",
    )
    del guarded.context.orders._known[OrderId(in_ledger)]

    async def seconds(order_id: str) -> float:
        taken = []
        for _ in range(5):
            started = time.perf_counter()
            await guarded.call("GET", f"/orders/{order_id}", headers=BOB)
            taken.append(time.perf_counter() - started)
        return median(taken)

    none = await seconds(random_order_id())
    for order_id in (waiting, decided, in_ledger):
        assert await seconds(order_id) == pytest.approx(none, abs=0.05)


async def test_the_owner_is_told_by_a_stream_with_the_token(guarded: EmbeddedGateway) -> None:
    order_id = await order(guarded)
    url = f"{guarded.url}/orders/{order_id}/events"
    async with guarded.client.get(url, headers=ALICE) as stream:
        guarded.drain()
        assert b"event: confirmed" in await stream.read()


async def test_a_pass_of_another_customer_shows_nothing_of_the_order(
    guarded: EmbeddedGateway,
) -> None:
    given = {"Purchase-Pass": a_pass()}
    order_id = await order(guarded, ALICE | given)
    answer = await guarded.call("POST", "/orders", json={"sku": "tv"}, headers=BOB | given)
    assert (answer.status, answer.problem) == (409, "pass-used")
    assert order_id not in str(answer.body)
    assert "order_id" not in answer.body


async def test_an_older_process_that_names_no_owner_gives_nothing_away(
    guarded: EmbeddedGateway,
) -> None:
    """In a rolling upgrade, the ledger says whose an order is as soon as it is decided."""
    broker, exchange = guarded.stack.broker, guarded.stack.topology.outcomes
    taken = Taken(random_order_id(), "tv", 1)
    older = encode_announcement(OrdersTaken([taken]))
    await broker.publish(exchange, "", older, message_id="older", mandatory=False)
    async with asyncio.timeout(60):
        while guarded.context.orders.get(OrderId(taken.id)) is None:
            await asyncio.sleep(0.01)
    answer = await guarded.call("GET", f"/orders/{taken.id}", headers=ALICE)
    assert answer.status == 404
    decision = Decision(taken.id, Status.CONFIRMED, None, "tv", 1)
    body = encode_announcement(BatchDecided([decision], [], 1.0))
    await broker.publish(exchange, "", body, message_id="older", mandatory=False)
    async with asyncio.timeout(60):
        while guarded.context.orders.get(OrderId(taken.id)).status is Status.QUEUED:  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
    assert (await guarded.call("GET", f"/orders/{taken.id}", headers=ALICE)).status == 404


async def taken(gateway: RealGateway, headers: dict[str, str] = ALICE) -> str:
    async with gateway.client.post(
        f"{gateway.url}/orders", json={"sku": "tv"}, headers=headers
    ) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["order_id"])


async def seen(gateway: RealGateway, order_id: str, headers: dict[str, str]) -> Any:
    status, body, _ = await gateway.get(f"/orders/{order_id}", **headers)
    return body["status"] if status == 200 else status


async def sees(gateway: RealGateway, order_id: str, wanted: str) -> None:
    async with asyncio.timeout(60):
        while await seen(gateway, order_id, ALICE) != wanted:
            await asyncio.sleep(0.05)


async def test_an_order_is_its_owners_on_every_gateway_and_after_restarts(
    real_shop: RealShop,
) -> None:
    first, second = real_shop.gateway(**JWT), real_shop.gateway(**JWT)
    order_id = await taken(first)
    await sees(second, order_id, "queued")
    for gateway in (first, second):
        assert await seen(gateway, order_id, BOB) == 404
    # It may not be told who: the keys are not for the consumer only.
    consumer = real_shop.start("consumer")
    await sees(second, order_id, "confirmed")
    await sees(first, order_id, "confirmed")
    consumer.stop()
    real_shop.start("consumer", **JWT)
    by_pass = ALICE | {"Purchase-Pass": a_pass()}
    passed = await taken(first, by_pass)
    third = real_shop.gateway(**JWT)  # it has heard of nothing
    await sees(third, passed, "confirmed")
    for gateway in (first, second, third):
        for name in (order_id, passed):
            assert await seen(gateway, name, ALICE) == "confirmed"
            assert await seen(gateway, name, BOB) == 404
        assert await taken(gateway, by_pass) == passed
        async with gateway.client.post(
            f"{gateway.url}/orders",
            json={"sku": "tv"},
            headers=BOB | {"Purchase-Pass": by_pass["Purchase-Pass"]},
        ) as answer:
            assert answer.status == 409


async def test_a_failed_order_is_shown_to_its_owner_after_a_restart(real_shop: RealShop) -> None:
    first = real_shop.gateway(**JWT)
    await real_shop.execute(
        "ALTER TABLE flashsale.orders ADD CONSTRAINT broken"
        " CHECK (customer_id <> 'alice' OR status = 'failed')"
    )
    order_id = await taken(first)
    consumer = real_shop.start("consumer")
    await sees(first, order_id, "failed")
    second = real_shop.gateway(**JWT)
    await sees(second, order_id, "failed")
    assert await seen(second, order_id, BOB) == 404
    # Even if it is the customer that can't be stored, the drain goes on.
    await real_shop.execute(
        "ALTER TABLE flashsale.orders ADD CONSTRAINT broken_id CHECK (customer_id <> 'alice')"
        " NOT VALID"
    )
    order_id = await taken(first)
    await sees(first, order_id, "failed")
    assert consumer.running


async def test_everything_works_behind_nginx(guarded: EmbeddedGateway) -> None:
    http = f"server {{ listen LISTEN; location / {{ proxy_pass {guarded.url}; }} }}"
    try:
        started = nginx(http)
        server = await asyncio.to_thread(started.__enter__)
    except ServerNotFound as error:
        pytest.skip(str(error))
    try:
        url = f"{server.url}/orders"
        client = guarded.client
        given = {"Purchase-Pass": a_pass()}
        async with client.post(url, json={"sku": "tv"}, headers=ALICE | given) as answer:
            assert answer.status == 202
            path = answer.headers["Location"]
        async with client.get(server.url + path, headers=BOB) as answer:
            assert answer.status == 404
        async with client.get(server.url + path, headers=ALICE) as answer:
            assert answer.status == 200
        for headers, status in (
            ([], {401}),
            ([("Authorization", "Bearer x")], {401}),
            # nginx itself refuses two of them, and what is very long.
            ([*ALICE.items(), *BOB.items()], {400, 401}),
            ([("Authorization", f"Bearer {token(more='x' * 5900)}")], {401, 202}),
            ([("Authorization", f"Bearer {token(more='x' * 8192)}")], {400, 431}),
        ):
            async with client.post(url, json={"sku": "tv"}, headers=headers) as answer:
                assert answer.status in status
                if answer.status == 401:
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)
