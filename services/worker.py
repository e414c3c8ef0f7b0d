"""The worker of a service: take events from its queue, handle them, have their effects recorded."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from flashsale.broker import Broker, BrokerError, Deliveries, Delivery
from flashsale.ledger import Effects, EffectStore, LedgerError
from flashsale.messages.codec import MessageError
from flashsale.messages.events import decode_event
from flashsale.observability.services_metrics import ServicesMetrics
from services.effect_recorder import MAX_BATCH, EffectRecorder, retry_backoff
from services.pending_event import PendingEvent
from services.retries import Retries
from services.service import AnyService, GiveUp, Handle

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing

log = structlog.get_logger()

_SHUTDOWN_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """The parts that a worker needs."""

    service: AnyService
    handle: Handle[Any]
    queue: str
    broker: Broker
    effects: EffectStore
    retries: Retries
    metrics: ServicesMetrics
    tracing: "Tracing | None" = None


class Worker:
    """Runs one service. Any number of workers, in any number of processes, share its queue.

    Before a handler runs, the worker checks whether its event is done already. A handler keeps
    running if the broker or the database is lost: its effects are recorded when they are back, and
    the redelivered event is then found to be done.
    """

    def __init__(self, context: WorkerContext) -> None:
        """Work on the queue of the service."""
        self._service = context.service
        self._handle = context.handle
        self._queue = context.queue
        self._broker = context.broker
        self._effects = context.effects
        self._retries = context.retries
        self._tracing = context.tracing
        self._recorder = EffectRecorder(
            service=context.service.name,
            effects=context.effects,
            on_recorded=self._on_recorded,
            on_refused=self._retry,
        )
        self._pending: dict[str, PendingEvent] = {}
        self._none_pending = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._handled = context.metrics.handled.labels(self._service.name)
        self._repeated = context.metrics.repeated.labels(self._service.name)
        self._seconds = context.metrics.seconds.labels(self._service.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, and then finish the pending events, within 10 s."""
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(
                self._recorder.run(), name=f"effects of {self._service.name}"
            )
            backoff = retry_backoff()
            while not stop.is_set():
                try:
                    async with self._broker.consume(
                        self._queue, self._service.concurrency
                    ) as deliveries:
                        log.info("service is active", service=self._service.name)
                        backoff.reset()
                        await self._consume(deliveries, stop, tasks)
                        await self._finish_pending()
                except (BrokerError, TimeoutError) as error:
                    reason = str(error) or type(error).__name__
                    log.warning("service interrupted", service=self._service.name, reason=reason)
                    await asyncio.sleep(backoff.next())
            await self._finish_pending()
            for task in (recording, *self._running):
                task.cancel()

    async def _consume(
        self, deliveries: Deliveries, stop: asyncio.Event, tasks: asyncio.TaskGroup
    ) -> None:
        while await _wait_for_delivery(deliveries, stop):
            new = self._take_new(deliveries, tasks)
            if not new:
                continue
            done = await self._done([pending.event.event_id for pending in new], stop)
            if done is None:
                # The worker stops while the database is away: these events go back to the queue.
                for pending in new:
                    del self._pending[pending.event.event_id]
                return
            for pending in new:
                if pending.event.event_id in done:
                    self._repeated.inc(len(pending.copies))
                    self._finish(pending)
                else:
                    self._start(tasks, self._handle_event(pending))

    def _take_new(self, deliveries: Deliveries, tasks: asyncio.TaskGroup) -> list[PendingEvent]:
        """Take the deliveries at hand; return the events that were not pending."""
        new = []
        for delivery in deliveries.take(MAX_BATCH):
            try:
                event = decode_event(delivery.body)
            except MessageError as error:
                reason = f"not an event: {error}"
                self._start(tasks, self._dead_letter(deliveries, delivery, reason))
                continue
            pending = self._pending.get(event.event_id)
            if pending is None:
                pending = PendingEvent(delivery, event, Effects(event.event_id, event.order_id))
                self._pending[event.event_id] = pending
                self._none_pending.clear()
                new.append(pending)
            else:
                self._repeated.inc()
            pending.copies.append((deliveries, delivery))
        return new

    def _start(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _done(self, event_ids: Sequence[str], stop: asyncio.Event) -> set[str] | None:
        """Return those of these events that are done, or None if `stop` comes before an answer."""
        backoff = retry_backoff()
        while not stop.is_set():
            try:
                return await self._effects.done(self._service.name, event_ids)
            except LedgerError as error:
                log.warning("service waits", service=self._service.name, reason=str(error))
            await asyncio.sleep(backoff.next())
        return None

    async def _handle_event(self, pending: PendingEvent) -> None:
        started = time.perf_counter()
        if self._tracing is not None:
            pending.span = self._tracing.process("handle", self._queue, pending.delivery)
        if pending.span is not None:
            pending.span.set("flashsale.order.id", pending.event.order_id)
        try:
            async with asyncio.timeout(self._service.timeout_seconds):
                await self._handle(self._service.view(pending.event), pending.effects)
        except GiveUp as error:
            await self._retries.dead_letter(pending.delivery, str(error))
            self._finish(pending, error)
        except Exception as error:  # any error of a handler is one failed attempt of one event
            await self._retry(pending, error)
        else:
            self._recorder.add(pending)
        self._seconds.observe(time.perf_counter() - started)

    async def _retry(self, pending: PendingEvent, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        await self._retries.retry(pending.delivery, reason)
        self._finish(pending, error)

    async def _dead_letter(self, deliveries: Deliveries, delivery: Delivery, reason: str) -> None:
        await self._retries.dead_letter(delivery, reason)
        deliveries.ack(delivery)

    def _on_recorded(self, batch: Sequence[PendingEvent], new: int) -> None:
        self._handled.inc(new)
        for pending in batch:
            self._finish(pending)

    def _finish(self, pending: PendingEvent, error: Exception | None = None) -> None:
        """Forget an event that is done, waits for its retry after `error`, or is dead."""
        del self._pending[pending.event.event_id]
        pending.finish(error)
        if not self._pending:
            self._none_pending.set()

    async def _finish_pending(self) -> None:
        if self._pending:
            try:
                async with asyncio.timeout(_SHUTDOWN_SECONDS):
                    await self._none_pending.wait()
            except TimeoutError:
                log.warning("service stops with unfinished events", events=len(self._pending))


async def _wait_for_delivery(deliveries: Deliveries, stop: asyncio.Event) -> bool:
    """Wait for a delivery or for `stop`; return whether to go on."""
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
