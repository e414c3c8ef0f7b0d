"""The ender: ends of deliveries share transactions, also under a steady load."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from consumer.delivery.ender import Ender
from consumer.delivery.shipment import Shipment
from flashsale.domain.delivery.answers import Taken
from flashsale.domain.sales import Verdict
from flashsale.ledger import DeliveryBooks, Ended, Sink
from tests.unit.consumer.delivery.fakes import a_parcel


@dataclass
class FakeBooks:
    """Writes ends one transaction at a time, while it is open."""

    sizes: list[int] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def end(self, ends: Sequence[Ended], now: float) -> Verdict:
        self.sizes.append(len(ends))
        self.begun.set()
        await self.open.wait()
        return Verdict([], [])


def finished(count: int) -> list[Shipment]:
    shipments = [Shipment(a_parcel()) for _ in range(count)]
    for shipment in shipments:
        shipment.finish(Taken())
    return shipments


async def test_what_ends_during_a_transaction_waits_for_what_ends_right_after_it() -> None:
    books = FakeBooks()
    loop = asyncio.get_running_loop()
    late = finished(5)

    def written(group: Sequence[Shipment], verdict: Verdict) -> None:
        while late:
            loop.call_soon(ender.add, late.pop())

    ender = Ender(
        cast("DeliveryBooks", books), cast("Sink", None), None, clock=lambda: 1.0, written=written
    )
    running = asyncio.create_task(ender.run())
    async with asyncio.timeout(10):
        ender.add(*finished(1))
        await books.begun.wait()
        for shipment in finished(5):
            ender.add(shipment)
        books.open.set()
        await ender.until_idle()
    running.cancel()
    assert books.sizes == [1, 10]


async def test_a_whole_group_is_not_waited_for() -> None:
    books = FakeBooks()
    books.open.set()
    ender = Ender(
        cast("DeliveryBooks", books),
        cast("Sink", None),
        None,
        clock=lambda: 1.0,
        written=lambda group, verdict: None,
    )
    running = asyncio.create_task(ender.run())
    async with asyncio.timeout(10):
        for shipment in finished(1001):
            ender.add(shipment)
        await ender.until_idle()
    running.cancel()
    assert books.sizes == [500, 500, 1]
