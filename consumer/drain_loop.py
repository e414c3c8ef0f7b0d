"""The drain: take orders from the queue at the set pace, decide them, acknowledge them."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from consumer.adaptive_pace import AdaptivePace
from consumer.batch_tracing import batch_spans
from consumer.drain_parts import DrainParts
from consumer.held_drain import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, DrainHolder, HeldDrain
from flashsale.broker import Deliveries, Delivery
from flashsale.domain.backoff import Backoff
from flashsale.domain.holds.rule import Allowance, MoreChanges
from flashsale.domain.orders import Order
from flashsale.domain.sales import Verdict, by_one_clock
from flashsale.ledger import (
    ControlsChanged,
    DrainLease,
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    Sink,
)
from flashsale.messages.codec import MessageError
from flashsale.messages.headers import REPLAYED
from flashsale.messages.orders import decode_order

log = structlog.get_logger()


@dataclass(kw_only=True, eq=False)
class DrainLoop(DrainParts[DrainLease]):
    """A drain of a sale. There may be several in different processes; one at a time is active."""

    adaptive: AdaptivePace | None = None
    _settling: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop`. A batch that was taken is settled first."""
        draining = asyncio.create_task(self._run(stop), name="drain loop")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait((draining, stopping), return_when=asyncio.FIRST_COMPLETED)
            async with self._settling:
                draining.cancel()
        finally:
            draining.cancel()
            stopping.cancel()
            await asyncio.wait((draining, stopping))
        if not draining.cancelled():
            draining.result()  # raise an unexpected error

    async def _run(self, stop: asyncio.Event) -> None:
        holder = DrainHolder(self)
        await holder.hold(self._begin, lambda: self.control.prefetch, self._drain, stop)

    def _begin(self, lease: DrainLease) -> None:
        if self.adaptive is None:
            lease.kept_rate = None
        else:
            self.adaptive.begin(lease)

    async def _drain(
        self, held: HeldDrain[DrainLease], deliveries: Deliveries, prefetch: int
    ) -> None:
        """Drain until an operator pauses it, or the prefetch has to change.

        Both need another consumer on the queue. Its end returns the orders that are not settled.
        """
        lease = held.lease
        sink = lease.open_sink(self.gate.wait_to_commit)
        while prefetch == self.control.prefetch and not self.control.paused:
            await held.look_until(lambda: held.expiry.first_of(deliveries.wait))
            await held.look_for_due(behind=len(deliveries) > 0)
            if not (len(deliveries) or held.expiry.due):
                continue
            at_hand = time.perf_counter()
            await held.look_until(self.gate.wait_open)
            self.metrics.pacing_wait_seconds.inc(time.perf_counter() - at_hand)
            if self.control.paused:
                return
            count = self.gate.release(len(deliveries) + held.expiry.due)
            due = min(count, held.expiry.due)
            batch = deliveries.take(count - due)
            held_back = len(deliveries) > 0
            if count:
                async with self._settling:
                    self.metrics.unacked.set(len(batch) + len(deliveries))
                    began = time.monotonic()
                    try:
                        verdicts = await self._settle_batch(sink, batch, due)
                    except ControlsChanged:
                        held.follow()
                        self.announcer.announce_time()
                        return
                    if verdicts:
                        held.renewed(began)
                    if batch:
                        deliveries.ack_through(batch[-1])
                    held.expiry.settled(verdicts, due)
                    self.metrics.unacked.set(len(deliveries))
                    behind = len(deliveries) > 0
                    if self.adaptive is not None:
                        self.adaptive.settled(lease, held_back, behind)
                    for verdict in verdicts:
                        self.announcer.announce(verdict, behind)
                    self.wake_relay(behind)
                # In the process of a gateway, nothing above gives requests their turn: a late drain
                # waits for nothing, and SQLite is written inline.
                await asyncio.sleep(0)

    async def _settle_batch(self, sink: Sink, batch: Sequence[Delivery], due: int) -> list[Verdict]:
        """Settle a batch. Whatever becomes of it, its orders are not in flight any more."""
        try:
            return await self._settle(sink, batch, due)
        finally:
            self.gate.committed()

    async def _settle(self, sink: Sink, batch: Sequence[Delivery], due: int) -> list[Verdict]:
        """Decide every order of the batch, or move it to the dead queue; then it may be acked.

        Up to `due` orders that were decided before change in the same transaction.
        """
        self.metrics.released.inc(len(batch) + due)
        self.metrics.released_max.set(self.gate.log.max_in_one_second)
        readable: list[tuple[Delivery, Order]] = []
        for delivery in batch:
            try:
                readable.append((delivery, decode_order(delivery.body)))
            except MessageError as error:
                await self.dead_letters.add(sink, delivery, f"not an order: {error}")
        if readable:
            waited = time.time() - readable[0][1].accepted_at
            self.metrics.oldest_seconds.set(max(0.0, waited))
        elif not due:
            return []
        try:
            return await self._sell_in_parts(sink, readable, due)
        except LedgerRefused as error:
            if due:
                log.warning("holds not ended", reason=str(error))
            return await self._settle_alone(sink, readable)

    async def _sell_in_parts(
        self, sink: Sink, readable: Sequence[tuple[Delivery, Order]], due: int
    ) -> list[Verdict]:
        """Decide orders in one transaction, in several if they change too many others with it."""
        try:
            return [await self._sell(sink, readable, due)]
        except MoreChanges:
            # One transaction would be over the pace, however long it waits.
            half = (len(readable) + 1) // 2
            parts = [readable] if due else [readable[:half], readable[half:]]
        verdicts = []
        if due:
            await self._release_again(due)
            verdicts.append(await self._sell(sink, [], due))
        for part in parts:
            await self._release_again(len(part))
            verdicts += await self._sell_in_parts(sink, part, 0)
        return verdicts

    async def _settle_alone(
        self, sink: Sink, readable: Sequence[tuple[Delivery, Order]]
    ) -> list[Verdict]:
        # One order can't be written. Write each alone, so that only that one fails.
        verdicts = []
        for one in readable:
            await self._release_again(1)
            try:
                verdicts.append(await self._sell(sink, [one]))
            except LedgerRefused as error:
                await self.dead_letters.add(sink, one[0], f"refused: {error}")
        return verdicts

    async def _sell(
        self, sink: Sink, readable: Sequence[tuple[Delivery, Order]], due: int = 0
    ) -> Verdict:
        if self.tracing is None or not readable:
            return await self._decide(sink, readable, due)
        with batch_spans(self.tracing, self.queue, readable, self.gate.released_at) as spans:
            verdict = await self._decide(sink, readable, due, spans.traceparents)
            spans.record(verdict.outcomes)
            return verdict

    async def _decide(
        self,
        sink: Sink,
        readable: Sequence[tuple[Delivery, Order]],
        due: int,
        traceparents: Mapping[str, str] | None = None,
    ) -> Verdict:
        orders = [order for _, order in readable]
        replayed = [order.id for delivery, order in readable if REPLAYED in delivery.headers]
        allowance = Allowance(due)
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while True:
            started = time.perf_counter()
            try:
                # The time of the release, so that the ledger shows the pace exactly.
                now = self.gate.released_at
                verdict = await sink.sell(
                    by_one_clock(orders, now), now, replayed, traceparents, allowance
                )
            except MoreChanges as error:
                # Customers have ordered again: their earlier orders change, too, inside the rate.
                changes = len(orders) + due + error.needed
                if changes > self.gate.most_at_once and len(orders) + due > 1:
                    raise
                allowance = Allowance(due, error.needed)
                await self._release_again(changes)
            except LedgerUnavailable as error:
                self._adapt_to(error, time.perf_counter() - started)
                raise
            except LedgerBusy as error:
                self._adapt_to(error, time.perf_counter() - started)
                log.warning("transaction tried again", reason=str(error))
                self.metrics.retries.inc()
                self.gate.committed()
                await asyncio.sleep(backoff.next())
                await self._release_again(len(orders) + due + allowance.replaced)
            else:
                # What the pace held the commit back for is not the database's time.
                seconds = time.perf_counter() - started - sink.steps.get("pace", 0.0)
                self.metrics.transaction_seconds.observe(seconds)
                if self.adaptive is not None:
                    self.adaptive.committed(seconds, len(orders) + due)
                for step, seconds in sink.steps.items():
                    self.metrics.step_seconds.labels(step).observe(seconds)
                self._count(verdict)
                return verdict

    def _adapt_to(self, error: LedgerError, seconds: float) -> None:
        if self.adaptive is not None:
            self.adaptive.failed(error, seconds)

    async def _release_again(self, count: int) -> None:
        """Pass the gate once more, because a repeated transaction is load like the first one."""
        while count > 0:
            self.gate.committed()  # whatever was released before has ended
            await self.gate.wait_open(count)
            released = self.gate.release(count, whole=True)
            self.metrics.released.inc(released)
            count -= released
        self.metrics.released_max.set(self.gate.log.max_in_one_second)

    def _count(self, verdict: Verdict) -> None:
        self.metrics.batch_orders.observe(len(verdict.outcomes))
        changed = (*verdict.outcomes, *verdict.moved)
        for decision, count in Counter(o.reason or o.status for o in changed).items():
            self.metrics.decided.labels(decision).inc(count)
