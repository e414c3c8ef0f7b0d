"""Move orders that can't be read or written to the dead queue, with the reason."""

import re
import time
from dataclasses import dataclass

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


@dataclass(kw_only=True, eq=False)
class DeadLetters:
    """The dead queue of the sale's orders."""

    broker: Broker
    exchange: str
    announcer: Announcer
    metrics: ConsumerMetrics

    async def add(self, sink: Sink, delivery: Delivery, reason: str) -> None:
        """Publish a message to the dead queue with a confirm, and record its order as failed.

        The broker's own dead-lettering may lose a message
        (https://www.rabbitmq.com/docs/dlx#safety), so this publishes it. The caller acknowledges
        the delivery afterwards: after a crash in between, the message is in both queues. Raises
        `BrokerError` and `LedgerError`.
        """
        reason = reason[:LONGEST_REASON]
        await self.broker.publish(
            self.exchange,
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
            self.announcer.announce_failed(
                Decision(delivery.message_id, Status.FAILED, reason, "", 0)
            )
        self.metrics.dead.inc()
        log.error("order is dead", order_id=delivery.message_id, reason=reason)
