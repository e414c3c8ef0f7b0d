"""A receiver behind nginx, as most are: connections, and what nginx answers in its place."""

import asyncio
from collections.abc import Iterator

import pytest

from flashsale.domain.delivery.answers import Taken, Trouble, TryAgain
from flashsale.domain.delivery.receiver import Parcel
from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.receiver import open_receiver
from loadtest.servers import Nginx, free_port, nginx
from tests.integration.sinks.bad_receivers import (
    KEY,
    Behaviour,
    Exchange,
    an_answer,
    answers,
    serving,
    then_closes,
)
from tests.unit.sinks.parcels import a_parcel

SITE = """
    keepalive_requests 10;
    map $connection $counted {{ default $connection; }}
    server {{
        listen LISTEN;
        {timeouts}
        location / {{
            proxy_pass http://127.0.0.1:{port};
            proxy_set_header X-Connection $counted;
        }}
    }}
"""


_IMPATIENT = "proxy_connect_timeout 1s; proxy_read_timeout 1s;"


def site_before(port: int, timeouts: str = "") -> str:
    return SITE.format(port=port, timeouts=timeouts)


@pytest.fixture(scope="module")
def closed_port() -> int:
    """A port on which nothing listens."""
    return free_port()


@pytest.fixture(scope="module")
def in_front_of_nothing(closed_port: int) -> Iterator[Nginx]:
    with nginx(site_before(closed_port)) as site:
        yield site


def address_of(site: Nginx) -> ReceiverAddress:
    return ReceiverAddress(f"{site.url}/orders", KEY, timeout_seconds=10)


async def answer_behind_nginx(behave: Behaviour) -> object:
    async with serving(behave) as server:
        with nginx(site_before(server.port, _IMPATIENT)) as site:
            async with open_receiver(address_of(site)) as receiver:
                (answer,) = await receiver.send([a_parcel()])
    return answer


async def test_connections_to_nginx_are_kept_and_their_end_loses_no_order() -> None:
    async with serving(answers(201, b'{"order_ref": "A"}')) as server:
        with nginx(site_before(server.port)) as site:
            async with open_receiver(address_of(site)) as receiver:
                for number in range(25):  # nginx ends a connection after ten requests
                    assert list(await receiver.send([a_parcel(number)])) == [Taken("A")]
        connections = [exchange.header("X-Connection") for exchange in server.seen.requests]
    assert len(connections) == 25
    assert len(set(connections)) == 3


async def test_many_orders_at_once_come_through_nginx_once_each() -> None:
    async def takes(exchange: Exchange) -> None:
        ref = exchange.header("Idempotency-Key")
        await exchange.write(an_answer(200, b'{"order_ref": "%s"}' % str(ref).encode()))

    async def sent(parcel: Parcel) -> object:
        return (await receiver.send([parcel]))[0]

    parcels = [a_parcel(number) for number in range(200)]
    async with serving(takes) as server:
        with nginx(site_before(server.port)) as site:
            async with open_receiver(address_of(site)) as receiver:
                got = await asyncio.gather(*map(sent, parcels))
    assert got == [Taken(parcel.order.id) for parcel in parcels]
    assert len(server.seen.requests) == 200


async def test_nginx_in_front_of_a_receiver_that_is_down_is_a_server_error(
    in_front_of_nothing: Nginx,
) -> None:
    async with open_receiver(address_of(in_front_of_nothing)) as receiver:
        answers = [(await receiver.send([a_parcel()]))[0] for _ in range(3)]
    bad_gateway = TryAgain("the receiver answers 502", trouble=Trouble.SERVER_ERROR)
    assert answers == [bad_gateway] * 3


async def test_nginx_in_front_of_a_receiver_that_hangs_is_a_server_error() -> None:
    async def hangs(exchange: Exchange) -> None:
        await exchange.until_closed()

    answer = await answer_behind_nginx(hangs)
    assert answer == TryAgain("the receiver answers 504", trouble=Trouble.SERVER_ERROR)


async def test_nginx_in_front_of_a_receiver_that_breaks_off_is_a_server_error() -> None:
    answer = await answer_behind_nginx(then_closes())
    assert answer == TryAgain("the receiver answers 502", trouble=Trouble.SERVER_ERROR)
