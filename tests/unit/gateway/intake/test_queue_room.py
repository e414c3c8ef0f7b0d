"""Near the limit of a queue that refuses late, no more is in flight than may exceed it."""

import asyncio
from typing import Any, cast

import pytest

from flashsale.broker import Broker, BrokerUnavailable, QueueFull
from gateway.intake.queue_room import QueueRoom
from gateway.state.arrivals import OtherGateways
from gateway.state.backlog import Backlog

LIMIT = 2000


class FakeBroker:
    """Takes messages, and confirms or refuses them when a test says so."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[None]] = []
        self.ids: list[str] = []
        self.away = False

    @property
    def in_flight(self) -> int:
        return sum(not confirm.done() for confirm in self.sent)

    def publish(self, *_: Any, message_id: str, **__: Any) -> asyncio.Future[None]:
        if self.away:
            raise BrokerUnavailable("away")
        self.ids.append(message_id)
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]

    def answer(self, count: int, error: Exception | None = None) -> None:
        for confirm in [each for each in self.sent if not each.done()][:count]:
            confirm.set_exception(error) if error else confirm.set_result(None)


class FakeBacklog:
    ready = 0
    counted = 0

    def count(self, ready: int) -> None:
        self.ready = ready
        self.counted += 1


class Shop:
    def __init__(self, gateways: int = 1) -> None:
        self.broker = FakeBroker()
        self.backlog = FakeBacklog()
        others = OtherGateways()
        for number in range(gateways - 1):
            others.heard(str(number))
        self.room = QueueRoom(
            cast("Broker", self.broker), LIMIT, cast("Backlog", self.backlog), others
        )

    def publish(self, count: int) -> list[asyncio.Future[None]]:
        return [
            self.room.publish("orders", "order", b"order", message_id=str(number))
            for number in range(count)
        ]

    async def sent(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.broker.sent) < count:
                await asyncio.sleep(0.001)
        assert len(self.broker.sent) == count


@pytest.mark.parametrize(
    ("gateways", "ready", "at_once"),
    [
        (1, 0, 1000),  # half of the room
        (4, 0, 250),
        (1, 1990, 40),  # 2 % of the limit
        (4, 1990, 10),
        (4, 2100, 10),
        (100, 1990, 1),  # never none: a refusal shows that the queue is full
    ],
)
async def test_the_room_is_shared(gateways: int, ready: int, at_once: int) -> None:
    shop = Shop(gateways)
    shop.backlog.count(ready)
    shop.publish(at_once + 5)
    assert len(shop.broker.sent) == at_once


async def test_messages_in_flight_take_room_that_a_count_may_not_show() -> None:
    shop = Shop()
    shop.backlog.count(0)
    shop.publish(900)
    shop.backlog.count(1000)
    shop.publish(10)
    assert len(shop.broker.sent) == 900


async def test_held_messages_go_in_order_as_earlier_ones_are_confirmed() -> None:
    shop = Shop()
    shop.backlog.count(LIMIT)
    confirms = shop.publish(43)
    for sent in (41, 42, 43):
        shop.broker.answer(1)
        await shop.sent(sent)
    assert shop.broker.ids == [str(number) for number in range(43)]
    shop.broker.answer(40)
    await asyncio.wait_for(asyncio.gather(*confirms), 5)


async def test_a_count_with_room_lets_all_held_messages_go() -> None:
    shop = Shop()
    shop.backlog.count(LIMIT)
    shop.publish(100)
    shop.backlog.count(0)
    await shop.sent(100)


async def test_a_refusal_refuses_all_that_is_held() -> None:
    shop = Shop()
    shop.backlog.count(LIMIT)
    *_, held, later = shop.publish(42)
    shop.broker.answer(1)
    await shop.sent(41)
    shop.broker.answer(40, QueueFull("the queue is at its limit"))
    for confirm in (held, later):
        with pytest.raises(QueueFull, match="at its limit"):
            await asyncio.wait_for(confirm, 5)


async def test_a_held_message_is_refused_after_a_quarter_of_a_second() -> None:
    shop = Shop()
    shop.backlog.count(LIMIT)
    *_, held = shop.publish(41)
    started = asyncio.get_running_loop().time()
    with pytest.raises(QueueFull):
        await asyncio.wait_for(held, 5)
    assert asyncio.get_running_loop().time() - started >= 0.25
    assert len(shop.broker.sent) == 40


async def test_no_more_than_a_thousand_messages_are_held() -> None:
    shop = Shop()
    shop.backlog.count(LIMIT)
    shop.publish(1040)
    with pytest.raises(QueueFull):
        shop.publish(1)


async def test_a_held_message_whose_request_is_gone_is_not_sent() -> None:
    shop = Shop()
    shop.backlog.count(LIMIT)
    *_, gone, held = shop.publish(42)
    gone.cancel()
    shop.broker.answer(1)
    await shop.sent(41)
    shop.broker.answer(41)
    await asyncio.wait_for(held, 5)


async def test_held_messages_fail_if_the_broker_goes_away() -> None:
    shop = Shop()
    shop.backlog.count(LIMIT)
    *_, held = shop.publish(41)
    shop.broker.away = True
    shop.broker.answer(1)
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(held, 5)


async def test_gateways_are_forgotten_after_three_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    others = OtherGateways()
    others.heard("a")
    now = 102.0
    others.heard("b")
    assert others.count() == 2
    now = 104.0
    assert others.count() == 1
