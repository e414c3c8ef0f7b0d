"""When a gateway announces, and how many overdue orders it looks up."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from flashsale.domain.order_ids import OrderId, random_order_id
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.messages.announcements import Taken
from gateway.state import announcements as module
from gateway.state.announcements import Announcements
from gateway.state.arrivals import OtherGateways
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition
from tests.conftest import an_order


class Lookup:
    """A ledger that has these outcomes, and notes for how many orders it was asked."""

    def __init__(self) -> None:
        self.decided: dict[OrderId, Outcome] = {}
        self.asked: list[int] = []

    async def find_all(self, ids: Sequence[OrderId]) -> dict[OrderId, Outcome]:
        self.asked.append(len(ids))
        return {one: self.decided[one] for one in ids if one in self.decided}


def announcements(lookup: Lookup | None = None) -> tuple[Announcements, Any]:
    state: Any = SimpleNamespace(
        orders=KnownOrders(QueuePosition(KnownDrain(100)), 1000, 60),
        drain=KnownDrain(100),
        other_gateways=OtherGateways(),
        changes=SimpleNamespace(queue_changed=lambda: None),
    )
    nothing: Any = None
    book: Any = lookup
    return Announcements(nothing, "outcomes", state, lookup=book, metrics=nothing), state


@pytest.mark.parametrize(("others", "seconds"), [(0, 0.02), (2, 0.02), (3, 0.07), (7, 0.07)])
def test_all_gateways_announce_at_the_same_moments_and_less_often_if_they_are_many(
    others: int, seconds: float
) -> None:
    told, state = announcements()
    for number in range(others):
        state.other_gateways.heard(f"gateway {number}")
    assert told._until_next_announcement(1_800_000_000.03) == pytest.approx(seconds, abs=1e-6)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0)
    monkeypatch.setattr(module, "_OVERDUE_SECONDS", -1)


async def asked_by_sweeps(lookup: Lookup, heard: Announcements, times: int) -> list[int]:
    sweep = asyncio.create_task(heard.sweep())
    async with asyncio.timeout(20):
        while len(lookup.asked) < times:
            await asyncio.sleep(0)
    sweep.cancel()
    return lookup.asked[:times]


@pytest.mark.usefixtures("at_once")
async def test_few_overdue_orders_are_looked_up_while_none_is_decided() -> None:
    lookup = Lookup()
    heard, state = announcements(lookup)
    state.orders.add_all_taken(Taken(random_order_id(), "tv", 1) for _ in range(300))
    assert await asked_by_sweeps(lookup, heard, 6) == [50, 50, 50, 50, 300, 50]


@pytest.mark.usefixtures("at_once")
async def test_all_overdue_orders_are_looked_up_once_one_of_the_oldest_is_decided() -> None:
    lookup = Lookup()
    heard, state = announcements(lookup)
    ids = [random_order_id() for _ in range(300)]
    state.orders.add_all_taken(Taken(one, "tv", 1) for one in ids)
    lookup.decided = {one: Outcome(an_order(id=one), Status.CONFIRMED) for one in ids[:200]}
    assert await asked_by_sweeps(lookup, heard, 2) == [50, 250]
    assert all(state.orders.is_decided(one) for one in ids[:200])
