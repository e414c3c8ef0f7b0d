"""A receiver that does as it should: what it sees of orders, batches and connections."""

import asyncio
import time

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from flashsale import __version__
from flashsale.domain.delivery.answers import Refused, Taken, TryAgain, Undeliverable
from flashsale.domain.order_states import Reason
from flashsale.messages.standard_webhooks import verify
from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.receiver import open_receiver
from tests.integration.sinks.bad_receivers import (
    KEY,
    Exchange,
    an_answer,
    answers,
    receiving,
    serving,
)
from tests.unit.sinks.parcels import a_parcel, parcels

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def headers_of(exchange: Exchange) -> dict[str, str]:
    lines = exchange.head.decode("ascii").split("\r\n")[1:]
    pairs = [line.partition(": ") for line in lines if line]
    assert len({name.lower() for name, _, _ in pairs}) == len(pairs)
    return {name.lower(): value for name, _, value in pairs}


async def test_a_receiver_sees_a_signed_order_with_its_key_and_its_trace() -> None:
    async with receiving(answers(201, b'{"order_ref": 17}')) as (receiver, seen):
        parcel = a_parcel(7, traceparent=TRACE)
        assert list(await receiver.send([parcel])) == [Taken("17")]
    (exchange,) = seen.requests
    headers = headers_of(exchange)
    assert exchange.head.startswith(b"POST /orders?shop=1 HTTP/1.1\r\n")
    assert verify([KEY], headers, exchange.body, time.time()) == parcel.order.id
    assert headers["idempotency-key"] == parcel.order.id
    assert headers["traceparent"] == TRACE
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"flashsale-gateway/{__version__}"
    assert headers["accept-encoding"] == "identity"
    assert headers["ce-specversion"] == "1.0"
    assert msgspec.json.decode(exchange.body)["data"]["order_id"] == parcel.order.id


async def test_path_and_query_of_the_address_are_sent_as_they_are() -> None:
    async with serving(answers(200)) as server:
        url = f"http://127.0.0.1:{server.port}/a%2fb?sig=a%2Fb%3d+%7E"
        async with open_receiver(ReceiverAddress(url=url, key=KEY)) as receiver:
            await receiver.send([a_parcel(7)])
    (exchange,) = server.seen.requests
    assert exchange.head.startswith(b"POST /a%2fb?sig=a%2Fb%3d+%7E HTTP/1.1\r\n")


async def test_a_batch_is_one_request_with_one_answer_for_each_order() -> None:
    async def decides(exchange: Exchange) -> None:
        told = [
            {"status": 200, "order_ref": envelope["data"]["order_id"][-2:]}
            if number % 2
            else {"status": 409, "type": "https://shop.example/problems/sold-out"}
            for number, envelope in enumerate(msgspec.json.decode(exchange.body))
        ]
        await exchange.write(an_answer(200, msgspec.json.encode(told)))

    async with receiving(decides, batch=50) as (receiver, seen):
        got = await receiver.send(parcels(4))
        assert got == [Refused(Reason.SOLD_OUT), Taken("02"), Refused(Reason.SOLD_OUT), Taken("04")]
        assert await receiver.send([a_parcel()]) == [Refused(Reason.SOLD_OUT)]
    first, second = seen.requests
    assert Webhook(KEY).verify(first.body.decode(), headers_of(first))
    assert isinstance(msgspec.json.decode(second.body), list)


async def test_orders_that_do_not_fit_into_a_request_are_an_error_of_the_caller() -> None:
    async with receiving(answers(200)) as (receiver, seen):
        with pytest.raises(ValueError, match="unpack"):
            await receiver.send(parcels(2))
    assert not seen.requests


async def test_connections_are_kept_and_reused() -> None:
    async with receiving(answers(200)) as (receiver, seen):
        for number in range(20):
            await receiver.send([a_parcel(number)])
    assert (len(seen.requests), seen.connections) == (20, 1)


async def test_there_are_no_more_connections_than_the_setting_allows() -> None:
    several = asyncio.Event()

    async def behave(exchange: Exchange) -> None:
        if exchange.others.open == 4:
            several.set()
        await several.wait()
        await exchange.write(an_answer(200))

    async with (
        serving(behave) as server,
        open_receiver(server.address(concurrency=4)) as receiver,
    ):
        got = await asyncio.gather(*(receiver.send([a_parcel(n)]) for n in range(40)))
        assert [list(each) for each in got] == [[Taken()]] * 40
        assert (server.seen.most_open, len(server.seen.requests)) == (4, 40)


async def test_no_cookie_is_kept() -> None:
    cookie = "Set-Cookie: session=of-another-order; Path=/"
    async with receiving(answers(200, b"", cookie)) as (receiver, seen):
        for _ in range(2):
            await receiver.send([a_parcel()])
    assert [exchange.header("Cookie") for exchange in seen.requests] == [None, None]


async def test_an_interim_answer_is_not_the_answer() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await exchange.write(an_answer(200, b'{"order_ref": "A"}'))

    async with receiving(behave) as (receiver, _):
        assert list(await receiver.send([a_parcel()])) == [Taken("A")]


async def test_an_answer_before_the_whole_request_is_sent_ends_its_connection() -> None:
    connections, over = 0, asyncio.Event()

    async def answers_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(an_answer(413))
        await over.wait()  # it reads nothing more
        writer.transport.abort()

    too_much = [a_parcel(number, customer="c" * 4_000) for number in range(5_000)]
    async with await asyncio.start_server(answers_early, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with open_receiver(ReceiverAddress(url, KEY, batch=5_000)) as receiver:
            for _ in range(2):
                got = await receiver.send(too_much)
                assert set(got) == {Undeliverable("the receiver answers 413")}
        over.set()
    assert connections == 2


async def test_no_order_can_add_a_header() -> None:
    async with receiving(answers(200)) as (receiver, seen):
        (answer,) = await receiver.send([a_parcel(sku="tv\r\nX-Admin: 1")])
    assert isinstance(answer, TryAgain)
    assert not seen.requests


@pytest.mark.parametrize("late", [False, True])
async def test_a_second_answer_to_an_order_is_not_that_to_the_next(late: bool) -> None:
    taken, written = asyncio.Event(), asyncio.Event()

    async def answers_twice(exchange: Exchange) -> None:
        own = an_answer(200, b'{"order_ref": %d}' % len(exchange.others.requests))
        other = an_answer(200, b'{"order_ref": "of another order"}')
        if late:
            await exchange.write(own)
            await taken.wait()
            await exchange.write(other)
        else:
            await exchange.write(own, other)
        written.set()

    async with receiving(answers_twice) as (receiver, seen):
        for number in range(1, 6):
            taken.clear()
            written.clear()
            assert list(await receiver.send([a_parcel(number)])) == [Taken(str(number))]
            taken.set()
            await written.wait()
            for _ in range(5):  # the event loop reads what has come
                await asyncio.sleep(0.001)
    assert (len(seen.requests), seen.connections) == (5, 5)
