"""The order service takes what the HTTP sink sends, and its answers mean what they say."""

import base64
from pathlib import Path

import pytest

from flashsale.domain.delivery.answers import Answer, Busy, Refused, Taken, TryAgain
from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.order_states import Reason
from flashsale.domain.orders import Order
from flashsale.messages.standard_webhooks import parse_secret
from flashsale.sinks.http.address import ReceiverAddress
from flashsale.sinks.http.receiver import open_receiver
from loadtest.receiver.behaviour import Behaviour
from loadtest.receiver.running import Receiver, receiver

SECRET = f"whsec_{base64.b64encode(b'k' * 32).decode()}"


def a_parcel(number: int, quantity: int = 1, decided: bool = False) -> Parcel:
    return Parcel(Order(f"{number:032x}", "tv", "ann", quantity, 1_700_000_000.0), decided)


async def answers(
    running: Receiver, parcels: list[Parcel], batch: int | None = None
) -> list[Answer]:
    address = ReceiverAddress(running.url, parse_secret(SECRET), batch=batch)
    async with open_receiver(address) as sender:
        if batch:
            return list(await sender.send(parcels))
        return [answer for each in parcels for answer in await sender.send([each])]


@pytest.mark.parametrize("batch", [None, 50])
async def test_orders_are_taken_refused_and_told(batch: int | None, tmp_path: Path) -> None:
    with receiver(tmp_path, ["--stock", "2"], SECRET) as running:
        first = await answers(running, [a_parcel(1), a_parcel(2)], batch)
        assert {type(answer) for answer in first} == {Taken}
        again = await answers(running, [a_parcel(1)], batch)
        assert again == first[:1]
        assert await answers(running, [a_parcel(3)], batch) == [Refused(Reason.SOLD_OUT)]
        told = await answers(running, [a_parcel(4, decided=True)], batch)
        assert told == [Taken("shop-000003")]
        stats = running.stats()
        assert (sum(stats.arrivals), stats.orders, stats.doubled) == (5, 3, 0)


async def test_an_order_of_more_than_is_left_has_its_own_reason(tmp_path: Path) -> None:
    with receiver(tmp_path, ["--stock", "1"], SECRET) as running:
        told = await answers(running, [a_parcel(1, quantity=2)])
        assert told == [Refused(Reason.NOT_ENOUGH_LEFT)]


async def test_a_shop_that_wants_nothing_says_for_how_long(tmp_path: Path) -> None:
    with receiver(tmp_path, ["--answer", "429", "--retry-after", "3"], SECRET) as running:
        (busy,) = await answers(running, [a_parcel(1)])
        assert isinstance(busy, Busy)
        assert busy.seconds == 3
        running.behave(Behaviour(answer=500))
        (broken,) = await answers(running, [a_parcel(1)])
        assert isinstance(broken, TryAgain)
        running.behave(Behaviour())
        assert await answers(running, [a_parcel(1)]) == [Taken("shop-000001")]
