"""What could not be understood or written goes to the dead queue, with the reason."""

import re
import time

import structlog

from consumer.announcer import Announcer
from flashsale.broker import Broker, Delivery
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.ledger import Sink
from flashsale.messages.announcements import Decision
from flashsale.messages.headers import DIED_AT, LONGEST_REASON, copied_headers, failure_headers
from flashsale.observability.consumer_metrics import ConsumerMetrics

log = structlog.get_logger()

_ORDER_ID = re.compile(r"[0-9a-f]{32}\Z")


class DeadLetters:
    """The way to the dead queue of the sale's orders."""

    def __init__(
        self, broker: Broker, exchange: str, announcer: Announcer, metrics: ConsumerMetrics
    ) -> None:
        self._announcer = announcer
        self._broker = broker
        self._exchange = exchange
        self._metrics = metrics

    async def bury(self, sink: Sink, delivery: Delivery, reason: str) -> None:
        """Put a message in the dead queue, confirmed, and record its order as failed.

        The broker's own dead-lettering is at most once
        (https://www.rabbitmq.com/docs/dlx#safety), so this is a publish of ours; the caller
        acknowledges after it. Dying in between leaves it in both queues, never in none.
        """
        reason = reason[:LONGEST_REASON]
        await self._broker.publish(
            self._exchange,
            "dead",
            delivery.body,
            message_id=delivery.message_id,
            headers={
                DIED_AT: int(time.time()),
                **failure_headers(reason),
                **copied_headers(delivery.headers),
            },
        )
        if _ORDER_ID.match(delivery.message_id):
            await sink.fail(OrderId(delivery.message_id), reason, time.time())
            self._announcer.tell_failed(Decision(delivery.message_id, Status.FAILED, reason, "", 0))
        self._metrics.dead.inc()
        log.error("order is dead", order_id=delivery.message_id, reason=reason)
