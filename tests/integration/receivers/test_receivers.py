"""The receivers of docs/integrating.md: they believe what is signed, and honour the key."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import an_order
from tests.integration.receivers.documented_receiver import (
    OTHER_SECRET,
    Answer,
    DocumentedReceiver,
    message_about,
    post,
    signed,
    write_receiver,
)

FRAMEWORKS = ("aiohttp", "fastapi", "flask")
TOLD, DECIDING, EVENTS = "The gateway has the stock", "The shop has the stock", "Events only"


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def told(tmp_path: Path, framework: str) -> Iterator[DocumentedReceiver]:
    receiver = write_receiver(tmp_path, framework, TOLD)
    with receiver.running():
        yield receiver


@pytest.fixture
def deciding(tmp_path: Path, framework: str) -> Iterator[DocumentedReceiver]:
    receiver = write_receiver(tmp_path, framework, DECIDING)
    receiver.query("UPDATE stock SET items = 3")
    with receiver.running():
        yield receiver


@pytest.fixture
def hearing(tmp_path: Path, framework: str) -> Iterator[DocumentedReceiver]:
    receiver = write_receiver(tmp_path, framework, EVENTS)
    with receiver.running():
        yield receiver


async def send(
    client: aiohttp.ClientSession, receiver: DocumentedReceiver, kind: str, key: str = ""
) -> Answer:
    """Send a message about a new order of one tv, by its id or by that key."""
    order = an_order(sku="tv-55")
    body = message_about(order, kind)
    return await post(client, receiver.url, body, signed(body, key or order.id))


async def test_the_told_receiver_writes_a_confirmed_order_once(
    told: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    order = an_order(sku="tv-55", quantity=2)
    body = message_about(order, "order.confirmed")
    first = await post(client, told.url, body, signed(body, order.id))
    again = await post(client, told.url, body, signed(body, order.id))
    assert (first.status, first.kind, first.json) == (200, "application/json", {"order_ref": "A-1"})
    assert again == first
    assert told.query("SELECT * FROM orders") == [(1, "tv-55", order.customer_id, 2)]
    assert (await send(client, told, "order.confirmed")).json == {"order_ref": "A-2"}
    assert (await send(client, told, "order.placed")).status == 400


async def test_the_deciding_receiver_sells_its_stock_and_then_refuses(
    deciding: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    answers = await asyncio.gather(*(send(client, deciding, "order.placed") for _ in range(8)))
    taken = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    assert sorted(answer.json["order_ref"] for answer in taken) == ["A-1", "A-2", "A-3"]
    assert {(answer.status, answer.kind) for answer in refused} == {
        (409, "application/problem+json")
    }
    assert {answer.json["type"] for answer in refused} == {"/problems/sold-out"}
    assert deciding.query("SELECT items FROM stock") == [(0,)]
    assert (await send(client, deciding, "order.confirmed")).status == 400


async def test_the_deciding_receiver_gives_a_key_the_same_answer_in_parallel(
    deciding: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    order = an_order(sku="tv-55")
    body = message_about(order, "order.placed")
    headers = signed(body, order.id)
    answers = await asyncio.gather(
        *(post(client, deciding.url, body, headers) for _ in range(12)),
    )
    assert [answer.json for answer in answers] == [{"order_ref": "A-1"}] * 12
    assert deciding.query("SELECT items FROM stock") == [(2,)]


async def test_a_refusal_stays_a_refusal_when_there_is_stock_again(
    deciding: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    order = an_order(sku="tv-55", quantity=4)
    body = message_about(order, "order.placed")
    refused = await post(client, deciding.url, body, signed(body, order.id))
    deciding.query("UPDATE stock SET items = 9")
    assert (refused.status, refused.json["type"]) == (409, "/problems/not-enough-left")
    assert await post(client, deciding.url, body, signed(body, order.id)) == refused
    assert deciding.query("SELECT items FROM stock") == [(9,)]


async def test_the_deciding_receiver_says_why_it_refuses(
    deciding: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    for sku, quantity, kind in (
        ("radio", 1, "unknown-sku"),
        ("tv-55", 4, "not-enough-left"),
    ):
        order = an_order(sku=sku, quantity=quantity)
        body = message_about(order, "order.placed")
        answer = await post(client, deciding.url, body, signed(body, order.id))
        assert (answer.status, answer.json["type"]) == (409, f"/problems/{kind}")
    assert deciding.query("SELECT items FROM stock") == [(3,)]
    assert deciding.query("SELECT * FROM orders") == []


async def test_the_hearing_receiver_does_its_part_once_for_each_event(
    hearing: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    order = an_order(sku="tv-55", quantity=3)
    body = message_about(order, "order.confirmed")
    for key in ("e1-ep", "e1-ep", "e2-ep"):
        answer = await post(client, hearing.url, body, signed(body, key))
        assert answer.status == 200
    assert hearing.query("SELECT * FROM points") == [(order.customer_id, 60)]


async def test_the_hearing_receiver_ignores_types_it_does_not_know(
    hearing: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    for kind in ("order.rejected", "webhook.test", "of.the.future"):
        assert (await send(client, hearing, kind)).status == 200
    assert hearing.query("SELECT * FROM points") == []


async def test_a_receiver_believes_only_what_is_signed(
    told: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    order = an_order(sku="tv-55")
    body = message_about(order, "order.confirmed")
    right = signed(body, order.id)
    stamp = int(right["webhook-timestamp"])
    forged = {
        "by another secret": signed(body, order.id, OTHER_SECRET),
        "without a signature": {k: v for k, v in right.items() if k != "webhook-signature"},
        "of another key": right | {"webhook-id": "another"},
        "of another time": right | {"webhook-timestamp": str(stamp - 1)},
        "of an hour ago": right | {"webhook-timestamp": str(stamp - 3600)},
        "no base64": right | {"webhook-signature": "v1,?"},
        "no version": right | {"webhook-signature": "x"},
        "no time": right | {"webhook-timestamp": "nan"},
    }
    for what, headers in forged.items():
        answer = await post(client, told.url, body, headers)
        assert answer.status == 401, what
    for changed in (body.replace(b"tv-55", b"tv-56"), b"", b"\xff\xfe"):
        assert (await post(client, told.url, changed, right)).status == 401
    assert told.query("SELECT * FROM orders") == []


async def test_a_receiver_takes_a_message_that_is_signed_with_two_secrets(
    told: DocumentedReceiver, client: aiohttp.ClientSession
) -> None:
    order = an_order(sku="tv-55")
    body = message_about(order, "order.confirmed")
    headers, new = signed(body, order.id), signed(body, order.id, OTHER_SECRET)
    headers["webhook-signature"] = f"{new['webhook-signature']} {headers['webhook-signature']}"
    assert (await post(client, told.url, body, headers)).status == 200


@pytest.mark.parametrize("framework", ["flask"], indirect=True)
async def test_a_killed_receiver_has_each_order_once_when_all_come_again(
    tmp_path: Path, framework: str, client: aiohttp.ClientSession
) -> None:
    receiver = write_receiver(tmp_path, framework, TOLD)
    bodies = {
        (o := an_order(sku="tv-55")).id: message_about(o, "order.confirmed") for _ in range(60)
    }

    async def answered(key: str) -> Answer | None:
        try:
            return await post(client, receiver.url, bodies[key], signed(bodies[key], key))
        except aiohttp.ClientError:
            return None

    with receiver.running() as process:
        sent = [asyncio.create_task(answered(key)) for key in bodies]
        await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        process.kill()
        before = dict(zip(bodies, await asyncio.gather(*sent), strict=True))
    assert None in before.values()
    with receiver.running():
        after = {key: await answered(key) for key in bodies}
    assert {key: after[key] for key in bodies if before[key]} == {
        k: v for k, v in before.items() if v
    }
    assert len({answer.json["order_ref"] for answer in after.values() if answer}) == 60
    assert receiver.query("SELECT count(*) FROM orders") == [(60,)]
