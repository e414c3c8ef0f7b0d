"""The relay: publish the events of the outbox, each at least once."""

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
# Gather events for this long, so that single orders don't cost a transaction each.
_GATHER_SECONDS = 0.02
_PRUNE_SECONDS = 60.0
# While orders wait for the drain, the database has its full load, so events wait, but not longer
# than this.
_PATIENCE_SECONDS = 10.0
# Services put load on the database, too, so the rate of the relay depends on the drain's. It is
# somewhat higher, so that the relay catches up.
_RATE_FACTOR = 1.5
# An event that is unsent for longer than any relay waits has lost its relay to a crash.
_ORPHAN_SECONDS = 12.0


class Relay:
    """Publishes the outbox. All relays, one in each consumer, share it.

    After a crash, events that were confirmed but not marked as sent are published again, under the
    same event ids.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        broker: Broker,
        exchange: str,
        control: DrainControl,
        keep_seconds: float,
        metrics: ConsumerMetrics,
    ) -> None:
        """Publish to the topic exchange of that name; keep sent events for `keep_seconds`."""
        self._outbox = outbox
        self._broker = broker
        self._exchange = exchange
        self._control = control
        self._keep_seconds = keep_seconds
        self._metrics = metrics
        self._wakeup = asyncio.Event()
        self._drain_is_behind = False
        self._waiting_since: float | None = None

    @property
    def _rate(self) -> float:
        return _RATE_FACTOR * self._control.rate

    @property
    def _batch(self) -> int:
        return max(1, min(_BATCH, round(_ROUND_SECONDS * self._rate)))

    def wake(self, behind: bool) -> None:
        """Relay the events of decided orders; `behind`: more orders wait for the drain."""
        self._drain_is_behind = behind
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        self._wakeup.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`, and then once more. Another relay sends the remaining events."""
        stopping = asyncio.create_task(stop.wait(), name="relay's stop")
        stopping.add_done_callback(lambda _: self._wakeup.set())
        pruned_at = 0.0
        try:
            while not stop.is_set():
                if not await self._wait_for_wakeup(stop):
                    await self._relay_until(time.time() - _ORPHAN_SECONDS, stop)
                elif not self._must_wait:
                    await self._relay_until(math.inf, stop)
                if time.monotonic() - pruned_at > _PRUNE_SECONDS:
                    await self._prune()
                    pruned_at = time.monotonic()
            await self._relay_until(math.inf, stop)
        finally:
            stopping.cancel()

    async def _wait_for_wakeup(self, stop: asyncio.Event) -> bool:
        """Wait for a wake-up or the time of the next poll; return whether it was a wake-up."""
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._wakeup.wait()
        except TimeoutError:
            return False
        if not stop.is_set():
            await asyncio.sleep(_GATHER_SECONDS)
        self._wakeup.clear()
        return True

    @property
    def _must_wait(self) -> bool:
        return (
            self._drain_is_behind
            and self._waiting_since is not None
            and time.monotonic() - self._waiting_since < _PATIENCE_SECONDS
        )

    async def _relay_until(self, moment: float, stop: asyncio.Event) -> None:
        """Relay events decided until `moment`, in Unix seconds, until no more can be sent now."""
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
            if self._must_wait:
                return

    async def _send(self, events: Sequence[Unsent]) -> Sequence[str]:
        confirms: list[asyncio.Future[None]] = []
        try:
            for event, traceparent in events:
                # Not mandatory: an event that no service is bound to is no error.
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
        results = await asyncio.gather(*confirms, return_exceptions=True)
        sent = []
        for (event, _), result in zip(events, results, strict=False):
            if result is None:
                sent.append(event.event_id)
            elif not isinstance(result, BrokerError):
                raise result
        return sent

    async def _prune(self) -> None:
        try:
            pruned = 1
            while pruned:
                pruned = await self._outbox.prune(before=time.time() - self._keep_seconds)
        except LedgerError as error:
            log.warning("outbox not pruned", reason=str(error))
