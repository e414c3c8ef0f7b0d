"""What becomes of an event whose handler failed: a later try, or the dead queue."""

import asyncio
import time

import structlog

from flashsale.broker import Broker, BrokerError, Delivery
from flashsale.messages.headers import (
    ATTEMPTS,
    DIED_AT,
    Headers,
    attempts,
    copied_headers,
    failure_headers,
)
from flashsale.observability.services_metrics import ServicesMetrics
from services.queues import dead_queue, retry_queue
from services.service import AnyService

log = structlog.get_logger()

_PUBLISH_AGAIN_SECONDS = 0.5


class Failures:
    """The way back, and the way out. Either ends with the broker's confirm.

    Dying after the confirm leaves the event in both queues, never in none.
    """

    def __init__(
        self, service: AnyService, prefix: str, broker: Broker, metrics: ServicesMetrics
    ) -> None:
        self._service = service
        self._prefix = prefix
        self._broker = broker
        self._retried = metrics.retried.labels(service.name)
        self._dead = metrics.dead.labels(service.name)

    async def again(self, delivery: Delivery, reason: str) -> None:
        """Have it tried again after a pause, or bury it if this was the last try."""
        failures = attempts(delivery.headers) + 1
        pause = self._service.retry.pause_after(failures)
        if pause is None:
            await self.bury(delivery, reason)
            return
        log.warning(
            "event is tried again",
            service=self._service.name,
            event_id=delivery.message_id,
            reason=reason,
            attempts=failures,
            after_seconds=pause,
        )
        await self._put(retry_queue(self._prefix, self._service, pause), delivery,
                        {ATTEMPTS: failures, **failure_headers(reason)})  # fmt: skip
        self._retried.inc()

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Put it in the dead queue, with the reason and the number of tries."""
        failures = attempts(delivery.headers) + 1
        log.error(
            "event is dead",
            service=self._service.name,
            event_id=delivery.message_id,
            reason=reason,
            attempts=failures,
        )
        await self._put(
            dead_queue(self._prefix, self._service),
            delivery,
            {
                ATTEMPTS: failures,
                DIED_AT: int(time.time()),
                **failure_headers(reason),
            },
        )
        self._dead.inc()

    async def _put(self, queue: str, delivery: Delivery, headers: Headers) -> None:
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
                # Unacknowledged till then: it is not lost, and a second copy does no harm.
                log.warning("failed event waits", service=self._service.name, reason=str(error))
            await asyncio.sleep(_PUBLISH_AGAIN_SECONDS)
