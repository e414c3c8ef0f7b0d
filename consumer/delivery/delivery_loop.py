"""The drain of orders that are delivered: take them at the set pace, and deliver them."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from consumer.delivery.beginning import Beginning, Taken
from consumer.delivery.dispatch import Dispatch, dispatching
from consumer.delivery.route import Route
from consumer.delivery.shipment import Shipment
from consumer.drain_parts import DrainParts
from consumer.held_drain import DrainHolder, HeldDrain
from flashsale.broker import Deliveries
from flashsale.domain.sales import Verdict
from flashsale.ledger import LEASE_SECONDS, ControlsChanged, DeliveryLease

log = structlog.get_logger()

_MOST_PREFETCH = 65_535  # a 16-bit field of AMQP
_LONGEST_STOP_SECONDS = 10.0
_LEAST_RETRIES_IN_HAND = 100


@dataclass(kw_only=True, eq=False)
class DeliveryLoop(DrainParts[DeliveryLease]):
    """A drain that delivers orders. There may be several in different processes; one is active."""

    route: Route
    _beginning: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _taking: bool = field(default=False, init=False)

    @property
    def prefetch(self) -> int:
        """The most orders in hand, acknowledged ones excluded.

        Two batches, so that the next one is at hand; those that wait for their first attempt; and
        a quarter of a second's orders that wait for another attempt and
        hold up nobody. At 2,000 orders/s and 1 % of orders that fail for half a minute each there
        are 600 of these. If there are more, too much fails for new orders to be of any use.
        """
        retries = max(_LEAST_RETRIES_IN_HAND, self.control.cap // 4)
        most = self.control.prefetch // 2 + self._rounds + retries
        return min(most, _MOST_PREFETCH)

    @property
    def _rounds(self) -> int:
        """Two rounds of requests, so that the receiver never waits, but not over a second's orders.

        What is in hand counts for nothing in the queue's limit.
        """
        return min(2 * self.route.round, self.control.cap)

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop`. What is in flight then is settled, if its answer comes soon."""
        draining = asyncio.create_task(self._run(stop), name="delivery loop")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait((draining, stopping), return_when=asyncio.FIRST_COMPLETED)
            if self._taking:
                seconds = min(self.route.timeout_seconds, _LONGEST_STOP_SECONDS)
                await asyncio.wait((draining,), timeout=seconds)
        finally:
            draining.cancel()
            stopping.cancel()
            await asyncio.wait((draining, stopping))
        if not draining.cancelled():
            draining.result()  # raise an unexpected error

    async def _run(self, stop: asyncio.Event) -> None:
        holder = DrainHolder(self)

        async def drain(
            held: HeldDrain[DeliveryLease], deliveries: Deliveries, prefetch: int
        ) -> None:
            await self._drain(held, deliveries, prefetch, stop)

        await holder.hold(_begin, lambda: self.prefetch, drain, stop)

    async def _drain(
        self,
        held: HeldDrain[DeliveryLease],
        deliveries: Deliveries,
        prefetch: int,
        stop: asyncio.Event,
    ) -> None:
        """Drain until `stop` or a pause, or until the prefetch has to change.

        The end of the consumer returns the orders that are not settled.
        """
        self._taking = True
        # So that the pace counts the commit, and not the time before it, as the other drain does.
        books = held.lease.open_deliveries(self.gate.wait_to_commit)
        sink = held.lease.open_sink()

        def may_send(now: float) -> bool:
            # Later another drain may have the lease. It waits one second more.
            return now < held.renewed_at + LEASE_SECONDS

        def written(group: Sequence[Shipment], verdict: Verdict) -> None:
            self._settle(deliveries, group, verdict)

        try:
            async with dispatching(
                self.route,
                books,
                sink,
                self.dead_letters,
                clock=self.gate.clock.now,
                may_send=may_send,
                written=written,
            ) as dispatch:
                beginning = Beginning(
                    books=books,
                    sink=sink,
                    queue=self.queue,
                    gate=self.gate,
                    dead_letters=self.dead_letters,
                    metrics=self.metrics,
                    tracing=self.tracing,
                )
                taking = self._take_all(held, deliveries, prefetch, dispatch, beginning)
                await self._until_over(taking, dispatch, stop)
                while not dispatch.idle:
                    await held.look_until(dispatch.until_idle)
        finally:
            self._taking = False
            self.metrics.unacked.set(0)

    async def _until_over(
        self, taking: Coroutine[Any, Any, None], dispatch: Dispatch, stop: asyncio.Event
    ) -> None:
        """Take orders until that returns or `stop`, and have no more attempts begin."""
        tasks = (
            asyncio.create_task(taking, name="taking"),
            asyncio.create_task(dispatch.failed(), name="failure"),
            asyncio.create_task(stop.wait(), name="stop"),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            dispatch.halt()
            async with self._beginning:  # a batch that is being written gets its acknowledgements
                tasks[0].cancel()
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_all(
        self,
        held: HeldDrain[DeliveryLease],
        deliveries: Deliveries,
        prefetch: int,
        dispatch: Dispatch,
        beginning: Beginning,
    ) -> None:
        """Take orders, and begin their deliveries, until an operator wants something else."""
        waits = (deliveries.wait, lambda: self._until_room(dispatch), self.gate.wait_open)
        while True:
            for wait in waits:
                await held.look_until(wait)
                held.follow()  # a transaction that ended deliveries may have read the change
                self.gate.clock.catch_up()  # orders that are delivered hold nothing
                if self.control.paused or prefetch != self.prefetch:
                    return
            if not self.route.gate.takes:
                continue
            wanted = min(len(deliveries), self._room(dispatch))
            batch = deliveries.take(self.gate.release(wanted) if wanted > 0 else 0)
            while batch:
                async with self._beginning:
                    began = time.monotonic()
                    try:
                        taken = await beginning.begin(batch, dispatch.in_hand)
                    except ControlsChanged:
                        held.follow()
                        self.announcer.announce_time()
                        if self.control.paused:
                            return
                        continue
                    held.renewed(began)
                    self._go_on(deliveries, dispatch, taken)
                    break

    def _go_on(self, deliveries: Deliveries, dispatch: Dispatch, taken: Taken) -> None:
        for delivery in taken.settled:
            deliveries.ack(delivery)
        dispatch.add(taken.shipments)
        self.metrics.unacked.set(len(dispatch.in_hand) + len(deliveries))
        behind = len(deliveries) > 0
        for verdict in taken.verdicts:
            self._count(verdict, len(verdict.outcomes))
            self.announcer.announce(verdict, behind)
            self.wake_relay(behind)

    def _settle(self, deliveries: Deliveries, group: Sequence[Shipment], verdict: Verdict) -> None:
        """Acknowledge and announce orders whose ends are written."""
        for shipment in group:
            for delivery in shipment.deliveries:
                deliveries.ack(delivery)
        behind = len(deliveries) > 0
        decided = {shipment.id for shipment in group if not shipment.parcel.decided}
        new = [outcome for outcome in verdict.outcomes if outcome.order.id in decided]
        self._count(Verdict(new, []), len(group))
        self.announcer.announce(verdict, behind, len(new))
        self.wake_relay(behind)

    def _count(self, verdict: Verdict, orders: int) -> None:
        self.metrics.batch_orders.observe(orders)
        for decision, count in Counter(o.reason or o.status for o in verdict.outcomes).items():
            self.metrics.decided.labels(decision).inc(count)

    def _room(self, dispatch: Dispatch) -> int:
        """Return how many more orders may wait for their first attempt: two rounds and a batch."""
        return self._rounds + self.control.batch - dispatch.unsent

    async def _until_room(self, dispatch: Dispatch) -> None:
        gate = self.route.gate
        while (closed := gate.closed_seconds) > 0 or self._room(dispatch) <= 0:
            await gate.pause(closed or math.inf)


def _begin(lease: DeliveryLease) -> None:
    # The rate is not adaptive: it would follow the database, not the receiver.
    lease.kept_rate = None
