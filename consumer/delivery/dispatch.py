"""The dispatch: courier and ender at work under one lease."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from consumer.dead_letters import DeadLetters
from consumer.delivery.courier import Courier
from consumer.delivery.ender import Ender
from consumer.delivery.route import Route
from consumer.delivery.shipment import Shipment
from flashsale.domain.order_ids import OrderId
from flashsale.domain.sales import Verdict
from flashsale.ledger import DeliveryBooks, Sink


class Dispatch:
    """Delivers orders, and writes what becomes of them."""

    def __init__(self, courier: Courier, ender: Ender, work: Sequence[asyncio.Task[None]]) -> None:
        """`work` are the tasks of courier and ender, which never return."""
        self._courier = courier
        self._ender = ender
        self._work = work

    @property
    def in_hand(self) -> dict[OrderId, Shipment]:
        """The orders whose end is not written, by id."""
        return self._courier.in_hand

    @property
    def unsent(self) -> int:
        """The orders that wait for their first attempt."""
        return self._courier.unsent

    def add(self, shipments: Iterable[Shipment]) -> None:
        """Deliver orders, of which none may be in hand."""
        self._courier.add(shipments)

    def halt(self) -> None:
        """Begin no more attempts. Those in flight go on."""
        self._courier.halt()

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight, and what has ended is written."""
        return self._courier.idle and self._ender.idle

    async def until_idle(self) -> None:
        """Wait until it is idle. Raises the errors of `failed`."""
        failing = asyncio.create_task(self.failed(), name="failure")
        idle = asyncio.create_task(self._until_idle(), name="idle")
        try:
            await asyncio.wait((failing, idle), return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()
        finally:
            failing.cancel()
            idle.cancel()

    async def _until_idle(self) -> None:
        await self._courier.until_idle()
        await self._ender.until_idle()

    async def failed(self) -> None:
        """Wait until the work fails, and raise its error: one of `Sink.sell`, or `BrokerError`."""
        # The tasks end with the context; who waits must not end them.
        done, _ = await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


@asynccontextmanager
async def dispatching(
    route: Route,
    books: DeliveryBooks,
    sink: Sink,
    dead_letters: DeadLetters | None = None,
    *,
    clock: Callable[[], float],
    may_send: Callable[[float], bool] = lambda now: True,
    written: Callable[[Sequence[Shipment], Verdict], None] = lambda group, verdict: None,
) -> AsyncIterator[Dispatch]:
    """Deliver until the end of the context. Attempts in flight are given up then.

    For the parameters see `Courier` and `Ender`.
    """

    def settled(group: Sequence[Shipment], verdict: Verdict) -> None:
        for shipment in group:
            courier.in_hand.pop(shipment.id, None)
        written(group, verdict)

    ender = Ender(books, sink, dead_letters, clock=clock, written=settled)
    courier = Courier(
        route.receiver,
        route.gate,
        concurrency=route.concurrency,
        size=route.size,
        may_send=may_send,
        ended=ender.add,
    )
    work = [
        asyncio.create_task(courier.run(), name="courier"),
        asyncio.create_task(ender.run(), name="ender"),
    ]
    try:
        yield Dispatch(courier, ender, work)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
