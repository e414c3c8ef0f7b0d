"""The worker of a service: take events from its queue, handle them, have their effects recorded."""

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from flashsale.broker import Broker, BrokerError, Deliveries, Delivery
from flashsale.ledger import Effects, EffectStore, LedgerError
from flashsale.messages.codec import MessageError
from flashsale.messages.events import decode_event
from flashsale.messages.headers import replayed_at, traceparent_of
from flashsale.observability.services_metrics import ServicesMetrics
from services.attempt import attempt
from services.effect_recorder import MAX_BATCH, EffectRecorder, retry_backoff
from services.errors import GiveUp, Later, OutcomeUnknown, Unavailable
from services.pause import Pause
from services.pending_event import PendingEvent
from services.retries import Retries
from services.service import AnyOpenService
from services.waiting import first_of

if TYPE_CHECKING:
    from flashsale.observability.spans import Tracing

log = structlog.get_logger()

_SHUTDOWN_SECONDS = 10.0
_RECORD_SECONDS = 3.0
# A probe that gets no event for so long has nothing to try.
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """The parts that a worker needs."""

    opened: AnyOpenService
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
        self._opened = context.opened
        self._service = context.opened.service
        self._queue = context.queue
        self._broker = context.broker
        self._effects = context.effects
        self._retries = context.retries
        self._tracing = context.tracing
        self._recorder = EffectRecorder(
            service=self._service.name,
            effects=context.effects,
            on_recorded=self._on_recorded,
            on_refused=self._retry,
            queue_waits=lambda: len(self._pending) >= self._prefetch,
        )
        self._pause = Pause(self._service.name, context.metrics.paused.labels(self._service.name))
        self._pending: dict[str, PendingEvent] = {}
        self._none_pending = asyncio.Event()
        self._end_by = math.inf
        self._running: set[asyncio.Task[None]] = set()
        self._handled = context.metrics.handled.labels(self._service.name)
        self._repeated = context.metrics.repeated.labels(self._service.name)
        self._seconds = context.metrics.seconds.labels(self._service.name)

    @property
    def _prefetch(self) -> int:
        """How many events the queue may deliver before one is done."""
        return 1 if self._pause.probing else self._opened.concurrency

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, and then finish the pending events, within 10 s."""
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(
                self._recorder.run(), name=f"effects of {self._service.name}"
            )
            backoff = retry_backoff()
            announced = False
            while not stop.is_set():
                # Without a consumer: events that nobody can handle do not sit here.
                await self._pause.wait(stop)
                try:
                    async with self._broker.consume(self._queue, self._prefetch) as deliveries:
                        if not announced:
                            log.info("service is active", service=self._service.name)
                            announced = True
                        backoff.reset()
                        await self._consume(deliveries, stop, tasks)
                        await self._finish_pending(stop)
                except (BrokerError, TimeoutError) as error:
                    reason = str(error) or type(error).__name__
                    log.warning("service interrupted", service=self._service.name, reason=reason)
                    announced = False
                    await asyncio.sleep(backoff.next())
            await self._finish_pending(stop)
            await self._cancel_handlers()
            recording.cancel()

    async def _consume(
        self, deliveries: Deliveries, stop: asyncio.Event, tasks: asyncio.TaskGroup
    ) -> None:
        """Handle events until `stop`, or until the pause asks for another consumer or none."""
        while await self._wait_for_delivery(deliveries, stop):
            new = self._take_new(deliveries, tasks)
            if not new:
                continue
            done = await self._done([pending.event.event_id for pending in new], stop)
            if done is None or self._pause.changed.is_set():
                # The worker stops while the database is away, or the other side went away
                # meanwhile: these events go back to the queue.
                for pending in new:
                    self._forget(pending)
                return
            for pending in new:
                if pending.event.event_id in done:
                    self._repeated.inc(len(pending.copies))
                    self._finish(pending)
                else:
                    self._start(tasks, self._handle_event(pending))

    async def _wait_for_delivery(self, deliveries: Deliveries, stop: asyncio.Event) -> bool:
        """Wait for a delivery; return False if the consumer is to end."""
        while not (stop.is_set() or self._pause.changed.is_set()):
            if len(deliveries):
                return True
            arrived = await first_of(
                deliveries.wait(),
                stop.wait(),
                self._pause.changed.wait(),
                seconds=_PROBE_SECONDS if self._pause.probing else None,
            )
            if not arrived and not self._pending:
                self._pause.end_probe(answered=False)
        return False

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
                effects = Effects(event.event_id, event.order_id, traceparent_of(delivery.headers))
                pending = PendingEvent(delivery, event, effects)
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
            error = await attempt(self._opened, pending.event, pending.effects)
        except asyncio.CancelledError as cancellation:
            self._give_back(pending, cancellation)
            raise
        match error:
            case None:
                self._pause.end_probe(answered=True)
                self._recorder.add(pending)
            case Unavailable():
                await self._wait_for_other_side(pending, error)
            case Later():
                await self._put_aside(pending, error)
            case GiveUp():  # perhaps without asking the other side, so a probe goes on
                await self._retries.dead_letter(pending.delivery, str(error))
                self._finish(pending, error)
            case _:  # one failed attempt of one event
                self._pause.end_probe(answered=False)
                await self._retry(pending, error)
        self._seconds.observe(time.perf_counter() - started)

    async def _retry(self, pending: PendingEvent, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        await self._retries.retry(pending.delivery, reason)
        self._finish(pending, error)

    async def _wait_for_other_side(self, pending: PendingEvent, error: Unavailable) -> None:
        probe = self._pause.probing
        self._pause.begin(error)
        if isinstance(error, OutcomeUnknown):
            await self._retry(pending, error)
        elif probe:
            # Another event is the next probe: perhaps this one alone is the reason.
            await self._put_aside(pending, error)
        elif self._waits_too_long(pending):
            await self._give_up_waiting(pending, error)
        else:
            self._give_back(pending, error)

    async def _put_aside(self, pending: PendingEvent, error: Later | Unavailable) -> None:
        if self._waits_too_long(pending):
            await self._give_up_waiting(pending, error)
        elif await self._retries.put_aside(pending.delivery, str(error)):
            self._finish(pending, error)
        else:
            self._pause.begin(Unavailable(str(error)))
            self._give_back(pending, error)

    def _waits_too_long(self, pending: PendingEvent) -> bool:
        since = max(pending.event.decided_at, replayed_at(pending.delivery.headers))
        return time.time() - since > self._opened.patience_seconds

    async def _give_up_waiting(self, pending: PendingEvent, error: Exception) -> None:
        await self._retries.dead_letter(pending.delivery, f"waited too long: {error}")
        self._finish(pending, error)

    async def _dead_letter(self, deliveries: Deliveries, delivery: Delivery, reason: str) -> None:
        await self._retries.dead_letter(delivery, reason)
        deliveries.ack(delivery)

    def _on_recorded(self, batch: Sequence[PendingEvent], new: int) -> None:
        self._handled.inc(new)
        for pending in batch:
            self._finish(pending)

    def _finish(self, pending: PendingEvent, error: Exception | None = None) -> None:
        """Acknowledge an event that is done, that waits in a retry queue after `error`, or dead."""
        self._forget(pending)
        pending.finish(error)

    def _give_back(self, pending: PendingEvent, error: BaseException) -> None:
        """Leave an event to its queue, which delivers it again after the end of the consumer."""
        self._forget(pending)
        pending.give_back(error)

    def _forget(self, pending: PendingEvent) -> None:
        del self._pending[pending.event.event_id]
        if not self._pending:
            self._none_pending.set()

    async def _finish_pending(self, stop: asyncio.Event) -> None:
        """Wait until all events in hand are done or given up, after `stop` for at most 10 s."""
        await first_of(self._none_in_hand(), stop.wait())
        if stop.is_set():
            now = time.monotonic()
            self._end_by = min(self._end_by, now + _SHUTDOWN_SECONDS)
            await first_of(self._none_in_hand(), seconds=self._end_by - now)

    async def _none_in_hand(self) -> None:
        while self._running:
            await asyncio.wait(self._running)
        while self._pending:
            await self._none_pending.wait()

    async def _cancel_handlers(self) -> None:
        """Cancel the handlers that still run, and record what they finish all the same."""
        if self._pending:
            log.warning("service stops with unfinished events", events=len(self._pending))
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
            await first_of(self._none_in_hand(), seconds=_RECORD_SECONDS)
