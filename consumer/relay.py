"""The relay: events that were written with their orders go to the broker, each at least once."""

import asyncio
import math
import time
from collections.abc import Sequence

import structlog

from consumer.drain_control import DrainControl
from flashsale.broker import Broker, BrokerError
from flashsale.ledger import LedgerError, Outbox, Unsent
from flashsale.messages.events import encode_event
from flashsale.messages.headers import trace_headers
from flashsale.observability.consumer_metrics import ConsumerMetrics

log = structlog.get_logger()

_BATCH = 500
_ROUND_SECONDS = 0.1
_POLL_SECONDS = 1.0
# While orders come one by one: a transaction for some events, and not for each.
_GATHER_SECONDS = 0.02
_PRUNE_SECONDS = 60.0
# While orders wait for the drain, the database is at the limit of what it is to take. What the
# services would add can wait, but not for ever.
_PATIENCE_SECONDS = 10.0
# Services load the database as well, so the relay is bound by the drain's rate; somewhat faster,
# so that it catches up.
_OF_DRAIN_RATE = 1.5
# What is unsent for longer than any relay holds back has lost the one that was woken for it.
_ORPHAN_SECONDS = 12.0


class Relay:
    """Publishes the outbox. Any number of them share it, one in each consumer.

    It may die at any point: what the broker confirmed and was not marked is published again,
    under the same event id.
    """

    def __init__(
        self,
        outbox: Outbox,
        broker: Broker,
        exchange: str,
        control: DrainControl,
        keep: float,
        metrics: ConsumerMetrics,
    ) -> None:
        """Publish to the topic exchange of that name; forget what was sent `keep` seconds ago."""
        self._outbox = outbox
        self._broker = broker
        self._exchange = exchange
        self._control = control
        self._keep = keep
        self._metrics = metrics
        self._wanted = asyncio.Event()
        self._drain_is_behind = False
        self._waiting_since: float | None = None

    @property
    def _rate(self) -> float:
        return _OF_DRAIN_RATE * self._control.rate

    @property
    def _batch(self) -> int:
        return max(1, min(_BATCH, round(_ROUND_SECONDS * self._rate)))

    def wake(self, behind: bool) -> None:
        """Orders were decided; `behind`: more of them wait."""
        self._drain_is_behind = behind
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        self._wanted.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`, and then once more. What is left is for another relay."""
        stopping = asyncio.create_task(stop.wait(), name="relay's stop")
        stopping.add_done_callback(lambda _: self._wanted.set())
        pruned_at = 0.0
        try:
            while not stop.is_set():
                if not await self._woken(stop):
                    await self._relay_until(time.time() - _ORPHAN_SECONDS, stop)
                elif not self._holds_back:
                    await self._relay_until(math.inf, stop)
                if time.monotonic() - pruned_at > _PRUNE_SECONDS:
                    await self._prune()
                    pruned_at = time.monotonic()
            await self._relay_until(math.inf, stop)
        finally:
            stopping.cancel()

    async def _woken(self, stop: asyncio.Event) -> bool:
        """Wait to be woken, or to poll; whether it was woken."""
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._wanted.wait()
        except TimeoutError:
            return False
        if not stop.is_set():
            await asyncio.sleep(_GATHER_SECONDS)
        self._wanted.clear()
        return True

    @property
    def _holds_back(self) -> bool:
        return (
            self._drain_is_behind
            and self._waiting_since is not None
            and time.monotonic() - self._waiting_since < _PATIENCE_SECONDS
        )

    async def _relay_until(self, moment: float, stop: asyncio.Event) -> None:
        """Relay what was decided until then, or until nothing more can be sent now."""
        while True:
            started, batch = time.monotonic(), self._batch
            try:
                relayed = await self._outbox.relay(batch, moment, self._send)
            except LedgerError as error:
                log.warning("relay interrupted", reason=str(error))
                return
            self._metrics.relayed.inc(relayed.sent)
            lag = 0.0 if relayed.oldest is None else max(0.0, time.time() - relayed.oldest)
            self._metrics.outbox_lag_seconds.set(lag)
            if relayed.claimed < batch:
                self._waiting_since = None
            if relayed.claimed < batch or not relayed.sent or stop.is_set():
                return
            await asyncio.sleep(max(0.0, started + batch / self._rate - time.monotonic()))
            if self._holds_back:
                return

    async def _send(self, events: Sequence[Unsent]) -> Sequence[str]:
        confirms: list[asyncio.Future[None]] = []
        try:
            for event, traceparent in events:
                # Not mandatory: an event that no service asked for is not lost.
                confirms.append(
                    self._broker.publish(
                        self._exchange,
                        event.topic,
                        encode_event(event),
                        message_id=event.event_id,
                        headers=trace_headers(traceparent),
                        mandatory=False,
                    )
                )
        except BrokerError as error:
            log.warning("events wait for the broker", reason=str(error))
        answers = await asyncio.gather(*confirms, return_exceptions=True)
        sent = []
        for (event, _), answer in zip(events, answers, strict=False):
            if answer is None:
                sent.append(event.event_id)
            elif not isinstance(answer, BrokerError):
                raise answer
        return sent

    async def _prune(self) -> None:
        try:
            pruned = 1
            while pruned:
                pruned = await self._outbox.prune(before=time.time() - self._keep)
        except LedgerError as error:
            log.warning("outbox not pruned", reason=str(error))
