"""Retry events whose handler failed: a later attempt, and in the end the dead queue."""

import asyncio
import time

import structlog

from flashsale.broker import Broker, BrokerError, Delivery
from flashsale.messages.headers import (
    ATTEMPTS,
    DEFERRALS,
    DIED_AT,
    REPLAYED,
    Headers,
    attempts,
    copied_headers,
    deferrals,
    failure_headers,
    short_reason,
)
from flashsale.observability.services_metrics import ServicesMetrics
from services.queues import dead_queue, retry_queue
from services.service import AnyService

log = structlog.get_logger()

_REPUBLISH_SECONDS = 0.5


class Retries:
    """Publishes failed events to the retry queues and the dead queue of a service, with confirms.

    The caller acknowledges the event afterwards: after a crash in between, it is in both queues.
    """

    def __init__(
        self, *, service: AnyService, prefix: str, broker: Broker, metrics: ServicesMetrics
    ) -> None:
        """Use the queues of the service, whose names begin with `prefix`."""
        self._service = service
        self._prefix = prefix
        self._broker = broker
        self._retried = metrics.retried.labels(service.name)
        self._dead = metrics.dead.labels(service.name)

    async def retry(self, delivery: Delivery, reason: str) -> None:
        """Put an event in a retry queue, or in the dead queue if this was the last attempt."""
        failures = attempts(delivery.headers) + 1
        pause = self._service.retry.pause_after(failures)
        if pause is None:
            await self.dead_letter(delivery, reason)
            return
        log.warning(
            "event is tried again",
            service=self._service.name,
            event_id=delivery.message_id,
            reason=short_reason(reason),
            attempts=failures,
            after_seconds=pause,
        )
        await self._publish(retry_queue(self._prefix, self._service, pause), delivery,
                        {ATTEMPTS: failures, **failure_headers(reason)})  # fmt: skip
        self._retried.inc()

    async def put_aside(self, delivery: Delivery, reason: str) -> bool:
        """Put an event in a retry queue without counting a try; False if there is no such queue.

        Its pauses grow, and the last one is used again and again.
        """
        times = deferrals(delivery.headers) + 1
        pause = self._service.retry.pause_aside(times)
        if pause is None:
            return False
        log.info(
            "event waits aside",
            service=self._service.name,
            event_id=delivery.message_id,
            reason=short_reason(reason),
            after_seconds=pause,
        )
        kept = {
            name: delivery.headers[name]
            for name in (ATTEMPTS, REPLAYED)
            if name in delivery.headers
        }
        await self._publish(retry_queue(self._prefix, self._service, pause), delivery,
                            {DEFERRALS: times, **kept, **failure_headers(reason)})  # fmt: skip
        return True

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Put an event in the dead queue, with the reason and the number of attempts."""
        failures = attempts(delivery.headers) + 1
        log.error(
            "event is dead",
            service=self._service.name,
            event_id=delivery.message_id,
            reason=short_reason(reason),
            attempts=failures,
        )
        await self._publish(
            dead_queue(self._prefix, self._service),
            delivery,
            {
                ATTEMPTS: failures,
                DIED_AT: int(time.time()),
                **failure_headers(reason),
            },
        )
        self._dead.inc()

    async def _publish(self, queue: str, delivery: Delivery, headers: Headers) -> None:
        while True:
            try:
                await self._broker.publish(
                    "",
                    queue,
                    delivery.body,
                    message_id=delivery.message_id,
                    headers={**headers, **copied_headers(delivery.headers)},
                )
                return
            except BrokerError as error:
                # The event is not acknowledged yet, so it is not lost. A second copy does no harm.
                log.warning("failed event waits", service=self._service.name, reason=str(error))
            await asyncio.sleep(_REPUBLISH_SECONDS)
