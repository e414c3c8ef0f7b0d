"""The ender: writes the ends of deliveries in groups, each in one transaction."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from consumer.dead_letters import DeadLetters
from consumer.delivery.shipment import Shipment
from consumer.held_drain import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS
from flashsale.domain.backoff import Backoff
from flashsale.domain.order_ids import OrderId
from flashsale.domain.sales import Verdict
from flashsale.ledger import ControlsChanged, DeliveryBooks, LedgerBusy, LedgerRefused, Sink

log = structlog.get_logger()

_LARGEST_GROUP = 500
# Answers that come within this time share a transaction, which costs as much as ten orders.
_GATHER_SECONDS = 0.02


class Ender:
    """Writes what has become of orders: dead letters first, then the ledger, then `written`."""

    def __init__(
        self,
        books: DeliveryBooks,
        sink: Sink,
        dead_letters: DeadLetters | None,
        *,
        clock: Callable[[], float],
        written: Callable[[Sequence[Shipment], Verdict], None],
    ) -> None:
        """Write to the books of a lease; `sink` is of the same lease. `clock` has Unix time.

        Without `dead_letters` nothing that is added may have been delivered by a queue. `written`
        is called after each transaction, with the orders that may be acknowledged.
        """
        self._books = books
        self._sink = sink
        self._dead_letters = dead_letters
        self._clock = clock
        self._written = written
        self._pending: list[Shipment] = []
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, shipment: Shipment) -> None:
        """Take an order that is finished."""
        self._pending.append(shipment)
        self._idle.clear()
        self._arrived.set()

    @property
    def idle(self) -> bool:
        """Whether everything that was added is written."""
        return self._idle.is_set()

    async def until_idle(self) -> None:
        """Wait until everything that was added is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled. Raises `LedgerUnavailable` and `BrokerError`."""
        while True:
            await self._arrived.wait()
            # Before each group: those that came during a transaction would be a small one.
            if len(self._pending) < _LARGEST_GROUP:
                await asyncio.sleep(_GATHER_SECONDS)
            group = self._pending[:_LARGEST_GROUP]
            del self._pending[:_LARGEST_GROUP]
            await self._write(group)
            if not self._pending:
                self._arrived.clear()
                self._idle.set()

    async def _write(self, group: Sequence[Shipment]) -> None:
        await self._bury(group)
        try:
            verdict = await self._end(group)
        except LedgerRefused as error:
            if len(group) == 1:
                await self._refuse(group[0], error)
                return
            # One end can't be written. Write each alone, so that only that one fails.
            for shipment in group:
                await self._write_alone(shipment)
        else:
            self._settled(group, verdict)

    async def _write_alone(self, shipment: Shipment) -> None:
        try:
            verdict = await self._end([shipment])
        except LedgerRefused as error:
            await self._refuse(shipment, error)
        else:
            self._settled([shipment], verdict)

    async def _end(self, group: Sequence[Shipment]) -> Verdict:
        ends = [shipment.end() for shipment in group]
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while True:
            try:
                return await self._books.end(ends, self._clock())
            except ControlsChanged:
                continue  # the lease has read them now
            except LedgerBusy as error:
                log.warning("ends of deliveries tried again", reason=str(error))
                await asyncio.sleep(backoff.next())

    async def _bury(self, group: Sequence[Shipment]) -> None:
        """Publish the dead letters, before anything says that their orders are dead."""
        if self._dead_letters is None:
            return
        letters = [
            self._dead_letters.publish(delivery, reason)
            for shipment in group
            if (reason := shipment.failure) is not None
            for delivery in shipment.deliveries[:1]
        ]
        if letters:
            await asyncio.gather(*letters)

    async def _refuse(self, shipment: Shipment, error: LedgerRefused) -> None:
        if self._dead_letters is not None:
            for delivery in shipment.deliveries[:1]:
                await self._dead_letters.add(self._sink, delivery, f"refused: {error}")
        shipment.refused(error)
        self._written([shipment], Verdict([], []))

    def _settled(self, group: Sequence[Shipment], verdict: Verdict) -> None:
        outcomes = {OrderId(outcome.order.id): outcome for outcome in verdict.outcomes}
        for shipment in group:
            shipment.settled(outcomes.get(shipment.id), verdict.sales)
        self._written(group, verdict)
