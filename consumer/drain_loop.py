"""The drain: take orders from the queue at the set pace, decide them, acknowledge them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from consumer.adaptive_pace import AdaptivePace
from consumer.announcer import Announcer
from consumer.batch_tracing import batch_spans
from consumer.dead_letters import DeadLetters
from consumer.drain_control import DrainControl
from consumer.release_gate import ReleaseGate
from flashsale.broker import Broker, BrokerError, Deliveries, Delivery
from flashsale.domain.backoff import Backoff
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Verdict, by_one_clock
from flashsale.ledger import (
    LEASE_SECONDS,
    ControlsChanged,
    DrainLease,
    Leases,
    LedgerBusy,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    Sink,
)
from flashsale.messages.codec import MessageError
from flashsale.messages.headers import REPLAYED
from flashsale.messages.orders import decode_order
from flashsale.observability.consumer_metrics import ConsumerMetrics

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing

log = structlog.get_logger()

_TAKEOVER_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 2.0
# An operator's change is obeyed within a second, whatever the drain waits for. An idle session
# would time out and lose the lease.
_LOOK_SECONDS = min(0.3, LEASE_SECONDS / 4)


@dataclass(kw_only=True, eq=False)
class DrainLoop:
    """A drain of a sale. There may be several in different processes; one at a time is active."""

    broker: Broker
    queue: str
    leases: Leases
    control: DrainControl
    gate: ReleaseGate
    dead_letters: DeadLetters
    announcer: Announcer
    wake_relay: Callable[[bool], None]
    """Called after each batch with whether more orders wait."""
    metrics: ConsumerMetrics
    tracing: "Tracing | None" = None
    adaptive: AdaptivePace | None = None
    _settling: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop`. A batch that was taken is settled first."""
        draining = asyncio.create_task(self._run(), name="drain loop")
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
            draining.result()  # raise an unexpected error; the loop never returns

    async def _run(self) -> None:
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            try:
                async with self.leases.hold_drain(self.queue) as lease:
                    # The previous holder may have released a full second's orders just now.
                    await asyncio.sleep(_TAKEOVER_SECONDS)
                    if self.adaptive is None:
                        lease.kept_rate = None
                    else:
                        self.adaptive.begin(lease)
                    while True:
                        await self._wait_while_paused(lease)
                        prefetch = self.control.prefetch
                        async with self._consumer(lease, prefetch) as deliveries:
                            log.info("drain is active", queue=self.queue)
                            self.metrics.active.set(1)
                            self.wake_relay(False)  # the previous holder may have left events
                            self.announcer.announce_time()
                            backoff.reset()
                            await self._drain(lease, deliveries, prefetch)
            except (BrokerError, LedgerError, TimeoutError) as error:
                # Unsettled orders went back to the queue, and come again in the same order.
                log.warning("drain interrupted", reason=str(error) or type(error).__name__)
            finally:
                self.metrics.active.set(0)
            await asyncio.sleep(backoff.next())

    async def _drain(self, lease: DrainLease, deliveries: Deliveries, prefetch: int) -> None:
        """Drain until an operator pauses it, or the prefetch has to change.

        Both need another consumer on the queue. Its end returns the orders that are not settled.
        """
        sink = lease.open_sink(self.gate.wait_to_commit)
        while prefetch == self.control.prefetch and not self.control.paused:
            await self._look_until(lease, deliveries.wait)
            at_hand = time.perf_counter()
            await self._look_until(lease, self.gate.wait_open)
            self.metrics.pacing_wait_seconds.inc(time.perf_counter() - at_hand)
            if self.control.paused:
                return
            batch = deliveries.take(self.gate.release(len(deliveries)))
            held_back = len(deliveries) > 0
            if batch:
                async with self._settling:
                    self.metrics.unacked.set(len(batch) + len(deliveries))
                    try:
                        verdicts = await self._settle_batch(sink, batch)
                    except ControlsChanged:
                        self._follow(lease)
                        self.announcer.announce_time()
                        return
                    deliveries.ack_through(batch[-1])
                    self.metrics.unacked.set(len(deliveries))
                    behind = len(deliveries) > 0
                    if self.adaptive is not None:
                        self.adaptive.settled(lease, held_back, behind)
                    for verdict in verdicts:
                        self.announcer.announce(verdict, behind)
                    self.wake_relay(behind)

    async def _wait_while_paused(self, lease: DrainLease) -> None:
        """Keep the lease until the drain is not paused."""
        await self._look(lease)
        while self.control.paused:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look(lease)

    @asynccontextmanager
    async def _consumer(self, lease: DrainLease, prefetch: int) -> AsyncIterator[Deliveries]:
        """Consume the queue. A busy broker may take seconds until that begins."""
        async with AsyncExitStack() as exits:
            consumer = exits.enter_async_context(self.broker.consume(self.queue, prefetch))
            opening = asyncio.create_task(consumer, name="consumer opens")
            try:
                while not (await asyncio.wait((opening,), timeout=_LOOK_SECONDS))[0]:
                    await self._look(lease)
            finally:
                if not opening.done():
                    opening.cancel()
                    await asyncio.wait((opening,))
            yield opening.result()

    async def _look_until(self, lease: DrainLease, wait: Callable[[], Awaitable[None]]) -> None:
        """Return after `wait`, or as soon as the controls have changed."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    return await wait()
            except TimeoutError:
                if await self._look(lease):
                    return

    async def _look(self, lease: DrainLease) -> bool:
        """Keep the lease, and follow the controls; return whether they have changed."""
        await lease.touch()
        changed = self._follow(lease)
        self.announcer.announce_time()
        return changed

    def _follow(self, lease: DrainLease) -> bool:
        """Take in the controls that the lease has read; return whether they have changed."""
        changed = self.control.follow(lease.controls)
        if changed:
            log.info(
                "drain follows its controls",
                paused=self.control.paused,
                rate=self.control.rate,
                version=lease.controls.version,
                reason=lease.controls.drain_reason,
            )
            self.metrics.paused.set(self.control.paused)
        return changed

    async def _settle_batch(self, sink: Sink, batch: Sequence[Delivery]) -> list[Verdict]:
        """Settle a batch. Whatever becomes of it, its orders are not in flight any more."""
        try:
            return await self._settle(sink, batch)
        finally:
            self.gate.committed()

    async def _settle(self, sink: Sink, batch: Sequence[Delivery]) -> list[Verdict]:
        """Decide every order of the batch, or move it to the dead queue; then it may be acked."""
        self.metrics.released.inc(len(batch))
        self.metrics.released_max.set(self.gate.log.max_in_one_second)
        readable: list[tuple[Delivery, Order]] = []
        for delivery in batch:
            try:
                readable.append((delivery, decode_order(delivery.body)))
            except MessageError as error:
                await self.dead_letters.add(sink, delivery, f"not an order: {error}")
        if not readable:
            return []
        waited = time.time() - readable[0][1].accepted_at
        self.metrics.oldest_seconds.set(max(0.0, waited))
        try:
            return [await self._sell(sink, readable)]
        except LedgerRefused:
            return await self._settle_alone(sink, readable)

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

    async def _sell(self, sink: Sink, readable: Sequence[tuple[Delivery, Order]]) -> Verdict:
        if self.tracing is None:
            return await self._decide(sink, readable)
        with batch_spans(self.tracing, self.queue, readable, self.gate.released_at) as spans:
            verdict = await self._decide(sink, readable, spans.traceparents)
            spans.record(verdict.outcomes)
            return verdict

    async def _decide(
        self,
        sink: Sink,
        readable: Sequence[tuple[Delivery, Order]],
        traceparents: Mapping[str, str] | None = None,
    ) -> Verdict:
        orders = [order for _, order in readable]
        replayed = [order.id for delivery, order in readable if REPLAYED in delivery.headers]
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            started = time.perf_counter()
            try:
                # The time of the release, so that the ledger shows the pace exactly.
                now = self.gate.released_at
                verdict = await sink.sell(by_one_clock(orders, now), now, replayed, traceparents)
            except LedgerUnavailable as error:
                self._adapt_to(error, time.perf_counter() - started)
                raise
            except LedgerBusy as error:
                self._adapt_to(error, time.perf_counter() - started)
                log.warning("transaction tried again", reason=str(error))
                self.metrics.retries.inc()
                self.gate.committed()
                await asyncio.sleep(backoff.next())
                await self._release_again(len(orders))
            else:
                # What the pace held the commit back for is not the database's time.
                seconds = time.perf_counter() - started - sink.steps.get("pace", 0.0)
                self.metrics.transaction_seconds.observe(seconds)
                if self.adaptive is not None:
                    self.adaptive.committed(seconds, len(orders))
                for step, seconds in sink.steps.items():
                    self.metrics.step_seconds.labels(step).observe(seconds)
                self._count(verdict.outcomes)
                return verdict

    def _adapt_to(self, error: LedgerError, seconds: float) -> None:
        if self.adaptive is not None:
            self.adaptive.failed(error, seconds)

    async def _release_again(self, count: int) -> None:
        """Pass the gate once more, because a repeated transaction is load like the first one."""
        self.gate.committed()  # whatever was released before has ended
        await self.gate.wait_open(count)
        self.metrics.released.inc(self.gate.release(count))
        self.metrics.released_max.set(self.gate.log.max_in_one_second)

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        self.metrics.batch_orders.observe(len(outcomes))
        for decision, count in Counter(o.reason or o.status for o in outcomes).items():
            self.metrics.decided.labels(decision).inc(count)
