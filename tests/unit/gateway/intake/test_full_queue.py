"""Orders are refused without the broker while it has refused one within the last sample."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

import pytest

from flashsale.broker import BrokerUnavailable, QueueFull
from gateway.intake.full_queue import FullQueue
from gateway.state.announcements import Announcements
from gateway.state.arrivals import OtherGateways

SAMPLE = 0.1


class FakeAnnouncements:
    decided = 0


class Gateway:
    """Asks a broker that takes as many orders as it has `room` for."""

    def __init__(self, gateways: int = 1, *, refuses_late: bool = False) -> None:
        self.announcements = FakeAnnouncements()
        others = OtherGateways()
        for number in range(gateways - 1):
            others.heard(str(number))
        self.full = FullQueue(
            cast("Announcements", self.announcements), others, refuses_late=refuses_late
        )
        self.room = 0
        self.asked = 0

    def order(self) -> bool:
        """Offer one order as the intake does; return whether it was taken."""
        if self.full.known and not self.full.lets_ask():
            return False
        self.asked += 1
        confirm = asyncio.get_running_loop().create_future()
        if self.full.known:
            self.full.note_asked(confirm)
        if self.room <= 0:
            self.full.note_refusal()
            confirm.set_exception(QueueFull("the queue is at its limit"))
            confirm.exception()
            return False
        self.room -= 1
        confirm.set_result(None)
        return True

    async def orders(self, count: int) -> tuple[int, int]:
        """Offer many at one moment; return how many were taken, and how many asked."""
        before, taken = self.asked, 0
        for _ in range(count):
            taken += self.order()
            await asyncio.sleep(0)  # let the callbacks of confirms run
        return taken, self.asked - before


Wait = Callable[[float], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let time pass."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


async def test_a_queue_that_refused_nothing_is_not_known_to_be_full(wait: Wait) -> None:
    gateway = Gateway()
    gateway.room = 1000
    assert await gateway.orders(1000) == (1000, 1000)
    assert not gateway.full.known


async def test_a_full_queue_is_asked_by_one_order_each_half_sample(wait: Wait) -> None:
    gateway = Gateway()
    assert await gateway.orders(500) == (0, 1)
    for _ in range(100):
        wait(SAMPLE / 2)
        assert await gateway.orders(500) == (0, 1)


@pytest.mark.parametrize("refuses_late", [False, True])
async def test_room_that_nobody_announces_is_used_within_a_sample(
    wait: Wait, refuses_late: bool
) -> None:
    gateway = Gateway(gateways=4, refuses_late=refuses_late)
    await gateway.orders(1)
    wait(0.01)
    gateway.room = 300  # a purge, or a longer queue
    assert await gateway.orders(100) == (0, 0)
    wait(SAMPLE / 2)
    assert await gateway.orders(300) == (300, 300)


async def test_a_refusal_is_forgotten_after_a_sample_by_all_orders_at_once(wait: Wait) -> None:
    gateway = Gateway()
    await gateway.orders(1)
    wait(SAMPLE)
    gateway.room = 300
    assert all([gateway.order() for _ in range(300)])  # before any confirm is seen


async def test_a_probe_without_an_answer_leaves_nothing_shut(wait: Wait) -> None:
    gateway = Gateway()
    await gateway.orders(1)
    wait(SAMPLE / 2)
    assert gateway.full.lets_ask()
    gateway.full.note_asked(asyncio.get_running_loop().create_future())
    assert not gateway.full.lets_ask()
    wait(SAMPLE / 2)
    gateway.room = 10
    assert await gateway.orders(10) == (10, 10)


@pytest.mark.parametrize("outcome", ["cancelled", "unavailable"])
async def test_a_probe_that_fails_does_not_show_room(wait: Wait, outcome: str) -> None:
    gateway = Gateway()
    await gateway.orders(1)
    wait(SAMPLE / 2)
    assert gateway.full.lets_ask()
    confirm = asyncio.get_running_loop().create_future()
    gateway.full.note_asked(confirm)
    if outcome == "cancelled":
        confirm.cancel()
    else:
        confirm.set_exception(BrokerUnavailable("no confirm in time"))
    await asyncio.sleep(0)
    assert gateway.full.known


@pytest.mark.parametrize(("gateways", "asked"), [(1, 50), (4, 12), (100, 1)])
async def test_the_room_that_the_drain_has_left_is_shared(
    wait: Wait, gateways: int, asked: int
) -> None:
    gateway = Gateway(gateways)
    await gateway.orders(1)
    gateway.announcements.decided += 50
    gateway.room = 50
    assert await gateway.orders(200) == (asked, asked)


async def test_orders_decided_before_the_refusal_left_no_room(wait: Wait) -> None:
    gateway = Gateway()
    gateway.announcements.decided = 10_000
    await gateway.orders(1)
    assert await gateway.orders(200) == (0, 0)


async def test_room_that_other_gateways_leave_unused_is_found_by_the_probe(wait: Wait) -> None:
    gateway = Gateway(gateways=2)
    await gateway.orders(1)
    for _ in range(2):
        wait(SAMPLE / 4)
        gateway.announcements.decided += 50
        gateway.room += 50
        assert (await gateway.orders(25))[0] == 25
    taken, asked = await gateway.orders(200)
    assert (taken, asked) == (50, 51)


async def test_a_queue_that_refuses_late_is_probed_once_for_each_announcement(wait: Wait) -> None:
    gateway = Gateway(refuses_late=True)
    await gateway.orders(1)
    for _ in range(3):
        wait(0.001)
        gateway.announcements.decided += 50
        assert await gateway.orders(200) == (0, 1)
    gateway.announcements.decided += 50
    gateway.room = 400  # a fifth has drained
    assert await gateway.orders(400) == (400, 400)
