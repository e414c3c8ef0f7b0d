"""The beginning of deliveries: what the queue has delivered becomes orders in hand."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from consumer.batch_tracing import batch_spans
from consumer.dead_letters import DeadLetters
from consumer.delivery.shipment import Shipment
from consumer.held_drain import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS
from consumer.release_gate import ReleaseGate
from flashsale.broker import Delivery
from flashsale.domain.backoff import Backoff
from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict, by_one_clock
from flashsale.ledger import Begun, DeliveryBooks, LedgerBusy, LedgerRefused, Sink
from flashsale.messages.codec import MessageError
from flashsale.messages.headers import REPLAYED
from flashsale.messages.orders import decode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing

log = structlog.get_logger()

Readable = tuple[Delivery, Order]


def largest_batch(rate: int) -> int:
    """Return how many orders are begun in one transaction at that rate: those of 100 ms.

    A transaction waits for those that end deliveries, on the same session. Smaller ones would be
    too many.
    """
    return max(1, rate // 10)


@dataclass(frozen=True)
class Taken:
    """What has become of a batch in its beginning."""

    shipments: list[Shipment] = field(default_factory=list)
    """What is to be delivered, in the order of the queue."""
    settled: list[Delivery] = field(default_factory=list)
    """What is done, and may be acknowledged."""
    verdicts: list[Verdict] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class Beginning:
    """Begins the deliveries of batches under one lease."""

    books: DeliveryBooks
    sink: Sink
    queue: str
    gate: ReleaseGate
    dead_letters: DeadLetters
    metrics: ConsumerMetrics
    tracing: "Tracing | None" = None

    async def begin(self, batch: Sequence[Delivery], in_hand: Mapping[OrderId, Shipment]) -> Taken:
        """Begin the deliveries of a released batch.

        A delivery of an order in hand is settled with that. Raises the errors of `Sink.sell`, but
        for those that concern single orders, and `BrokerError`. With `ControlsChanged` nothing has
        changed, and the same batch can be begun again.
        """
        try:
            return await self._begin(batch, in_hand)
        finally:
            self.gate.committed()

    async def _begin(self, batch: Sequence[Delivery], in_hand: Mapping[OrderId, Shipment]) -> Taken:
        taken = Taken()
        readable: list[Readable] = []
        again: list[Readable] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                order = decode_order(delivery.body)
            except MessageError as error:
                unreadable.append((delivery, f"not an order: {error}"))
                continue
            (again if OrderId(order.id) in in_hand else readable).append((delivery, order))
        if readable:
            waited = time.time() - readable[0][1].accepted_at
            self.metrics.oldest_seconds.set(max(0.0, waited))
            try:
                await self._begin_together(readable, taken)
            except LedgerRefused:
                for one in readable:
                    await self._begin_alone(one, taken)
        # From here on nothing raises `ControlsChanged`.
        for delivery, order in again:
            shipment = in_hand.get(OrderId(order.id))
            # Its end may have been written meanwhile.
            (taken.settled if shipment is None else shipment.deliveries).append(delivery)
        for delivery, reason in unreadable:
            await self.dead_letters.add(self.sink, delivery, reason)
            taken.settled.append(delivery)
        self.metrics.released.inc(len(batch))
        self.metrics.released_max.set(self.gate.log.max_in_one_second)
        return taken

    async def _begin_alone(self, one: Readable, taken: Taken) -> None:
        # One order can't be written. Begin each alone, so that only that one fails.
        await self._release_again(1)
        try:
            await self._begin_together([one], taken)
        except LedgerRefused as error:
            await self.dead_letters.add(self.sink, one[0], f"refused: {error}")
            taken.settled.append(one[0])

    async def _begin_together(self, readable: Sequence[Readable], taken: Taken) -> None:
        begun = await self._traced(readable)
        shipments = {OrderId(p.order.id): Shipment(p) for p in begun.parcels}
        for delivery, order in readable:
            shipment = shipments.get(OrderId(order.id))
            (taken.settled if shipment is None else shipment.deliveries).append(delivery)
        taken.shipments.extend(shipments.values())
        taken.verdicts.append(begun.verdict)

    async def _traced(self, readable: Sequence[Readable]) -> Begun:
        if self.tracing is None:
            return await self._begun(readable, {})
        with batch_spans(self.tracing, self.queue, readable, self.gate.released_at) as spans:
            begun = await self._begun(readable, spans.traceparents)
            spans.record(begun.verdict.outcomes)
            return begun

    async def _begun(self, readable: Sequence[Readable], traceparents: Mapping[str, str]) -> Begun:
        orders = [order for _, order in readable]
        replayed = [order.id for delivery, order in readable if REPLAYED in delivery.headers]
        redelivered = [order.id for delivery, order in readable if delivery.redelivered]
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while True:
            started = time.perf_counter()
            try:
                now = self.gate.released_at
                begun = await self.books.begin(
                    by_one_clock(orders, now), now, replayed, traceparents, redelivered
                )
            except LedgerBusy as error:
                log.warning("transaction tried again", reason=str(error))
                self.metrics.retries.inc()
                self.gate.committed()
                await asyncio.sleep(backoff.next())
                await self._release_again(len(orders))
            else:
                self.metrics.transaction_seconds.observe(time.perf_counter() - started)
                return begun

    async def _release_again(self, count: int) -> None:
        """Pass the gate once more, because a repeated transaction is load like the first one."""
        self.gate.committed()
        await self.gate.wait_open(count)
        self.gate.release(count)
