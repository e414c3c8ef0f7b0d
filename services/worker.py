"""The worker: one service's way from its queue to its effects, whatever fails in between."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from flashsale.broker import Broker, BrokerError, Deliveries, Delivery
from flashsale.domain.backoff import Backoff
from flashsale.ledger import Effects, EffectStore, LedgerBusy, LedgerError, LedgerRefused
from flashsale.messages.codec import MessageError
from flashsale.messages.events import OrderEvent, decode_event
from flashsale.observability.services_metrics import ServicesMetrics
from services.retries import Failures
from services.service import AnyService, GiveUp, Handle

if TYPE_CHECKING:
    from flashsale.observability.spans import Span, Tracing

log = structlog.get_logger()

_AT_ONCE = 500
# Nobody waits for a record, and a database that others need is spared most of the commits.
_GATHER_SECONDS = 0.05
_LAST_WORK_SECONDS = 10.0
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 2.0


@dataclass(eq=False)
class _Work:
    """An event in hand. Another copy of it may come before it is done; all are acknowledged."""

    delivery: Delivery
    event: OrderEvent
    effects: Effects
    copies: list[tuple[Deliveries, Delivery]] = field(default_factory=list)
    span: "Span | None" = None

    def ack(self) -> None:
        for deliveries, delivery in self.copies:
            deliveries.ack(delivery)


class Worker:
    """Runs one service. Any number of workers, in any number of processes, share its queue.

    An event is acknowledged after its effect is committed, or after the broker has confirmed it
    in a retry queue or the dead queue. What was done is recorded with the effect, and looked up
    before a handler runs. Losing the broker or the database ends no handler: what it did is
    recorded when they are back, and the redelivered event is found to be done.
    """

    def __init__(
        self,
        service: AnyService,
        handle: Handle[Any],
        queue: str,
        broker: Broker,
        effects: EffectStore,
        failures: Failures,
        metrics: ServicesMetrics,
        tracing: "Tracing | None" = None,
    ) -> None:
        """Work from `queue`."""
        self._service = service
        self._handle = handle
        self._queue = queue
        self._broker = broker
        self._effects = effects
        self._failures = failures
        self._tracing = tracing
        self._in_hand: dict[str, _Work] = {}
        self._none_in_hand = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._finished: list[_Work] = []
        self._some_finished = asyncio.Event()
        self._handled = metrics.handled.labels(service.name)
        self._repeated = metrics.repeated.labels(service.name)
        self._seconds = metrics.seconds.labels(service.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; what is in hand then is finished, within 10 s."""
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(self._record(), name=f"{self._service.name} records")
            backoff = _new_backoff()
            while not stop.is_set():
                try:
                    async with self._broker.consume(
                        self._queue, self._service.concurrency
                    ) as deliveries:
                        log.info("service is active", service=self._service.name)
                        backoff.reset()
                        await self._read(deliveries, stop, tasks)
                        await self._finish()
                except (BrokerError, TimeoutError) as error:
                    reason = str(error) or type(error).__name__
                    log.warning("service interrupted", service=self._service.name, reason=reason)
                    await asyncio.sleep(backoff.next())
            await self._finish()
            for task in (recording, *self._running):
                task.cancel()

    async def _read(
        self, deliveries: Deliveries, stop: asyncio.Event, tasks: asyncio.TaskGroup
    ) -> None:
        while await _first(deliveries, stop):
            fresh = self._take(deliveries, tasks)
            if not fresh:
                continue
            done = await self._done([work.event.event_id for work in fresh], stop)
            if done is None:
                # To stop, and the database is away: they go back to the queue.
                for work in fresh:
                    del self._in_hand[work.event.event_id]
                return
            for work in fresh:
                if work.event.event_id in done:
                    self._repeated.inc(len(work.copies))
                    self._let_go(work)
                else:
                    self._start(tasks, self._work(work))

    def _take(self, deliveries: Deliveries, tasks: asyncio.TaskGroup) -> list[_Work]:
        """Take what is at hand; what of it is not in hand already."""
        fresh = []
        for delivery in deliveries.take(_AT_ONCE):
            try:
                event = decode_event(delivery.body)
            except MessageError as error:
                self._start(tasks, self._bury(deliveries, delivery, f"not an event: {error}"))
                continue
            work = self._in_hand.get(event.event_id)
            if work is None:
                work = _Work(delivery, event, Effects(event.event_id, event.order_id))
                self._in_hand[event.event_id] = work
                self._none_in_hand.clear()
                fresh.append(work)
            else:
                self._repeated.inc()
            work.copies.append((deliveries, delivery))
        return fresh

    def _start(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _done(self, event_ids: Sequence[str], stop: asyncio.Event) -> set[str] | None:
        """Which of these events are done, asked until there is an answer, or until `stop`."""
        backoff = _new_backoff()
        while not stop.is_set():
            try:
                return await self._effects.done(self._service.name, event_ids)
            except LedgerError as error:
                log.warning("service waits", service=self._service.name, reason=str(error))
            await asyncio.sleep(backoff.next())
        return None

    async def _work(self, work: _Work) -> None:
        started = time.perf_counter()
        if self._tracing is not None:
            work.span = self._tracing.process("handle", self._queue, work.delivery)
        if work.span is not None:
            work.span.set("flashsale.order.id", work.event.order_id)
        try:
            async with asyncio.timeout(self._service.timeout_seconds):
                await self._handle(self._service.view(work.event), work.effects)
        except GiveUp as error:
            await self._failures.bury(work.delivery, str(error))
            self._let_go(work, error)
        except Exception as error:  # whatever a handler raises is one failed try of one event
            await self._fail(work, error)
        else:
            self._finished.append(work)
            self._some_finished.set()
        self._seconds.observe(time.perf_counter() - started)

    async def _fail(self, work: _Work, error: Exception) -> None:
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        await self._failures.again(work.delivery, words)
        self._let_go(work, error)

    async def _bury(self, deliveries: Deliveries, delivery: Delivery, reason: str) -> None:
        await self._failures.bury(delivery, reason)
        deliveries.ack(delivery)

    async def _record(self) -> None:
        """Record what is finished, many events in one transaction."""
        while True:
            await self._some_finished.wait()
            if len(self._finished) < _AT_ONCE:
                await asyncio.sleep(_GATHER_SECONDS)
            batch, self._finished = self._finished[:_AT_ONCE], self._finished[_AT_ONCE:]
            if not self._finished:
                self._some_finished.clear()
            try:
                await self._settle(batch)
            except LedgerRefused:
                # One of them can't be written. Each alone, so that it takes no other with it.
                for work in batch:
                    try:
                        await self._settle([work])
                    except LedgerRefused as error:
                        await self._fail(work, error)

    async def _settle(self, batch: Sequence[_Work]) -> None:
        backoff = _new_backoff()
        while True:
            try:
                new = await self._effects.take_effect(
                    self._service.name, [work.effects for work in batch]
                )
                break
            except LedgerRefused:
                raise
            except LedgerError as error:
                # Not known, if the database is gone: the same again changes nothing twice.
                if not isinstance(error, LedgerBusy):
                    log.warning("service waits", service=self._service.name, reason=str(error))
            await asyncio.sleep(backoff.next())
        self._handled.inc(new)
        for work in batch:
            self._let_go(work)

    def _let_go(self, work: _Work, error: Exception | None = None) -> None:
        """It is done, or by that error waits for its retry or is dead: the broker may forget it."""
        del self._in_hand[work.event.event_id]
        work.ack()
        if work.span is not None:
            work.span.end(error)
        if not self._in_hand:
            self._none_in_hand.set()

    async def _finish(self) -> None:
        if self._in_hand:
            try:
                async with asyncio.timeout(_LAST_WORK_SECONDS):
                    await self._none_in_hand.wait()
            except TimeoutError:
                log.warning("service stops in the middle", events=len(self._in_hand))


async def _first(deliveries: Deliveries, stop: asyncio.Event) -> bool:
    """Return once there is work, or once to stop; whether there is work."""
    if stop.is_set() or len(deliveries):
        return not stop.is_set()
    waiting = asyncio.ensure_future(deliveries.wait())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
        return not stop.is_set()
    finally:
        waiting.cancel()
        stopping.cancel()


def _new_backoff() -> Backoff:
    return Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
