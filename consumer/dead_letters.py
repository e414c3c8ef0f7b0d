"""Move orders that can't be read or written to the dead queue, with the reason."""

import re
import time
from contextlib import suppress
from dataclasses import dataclass

import structlog

from consumer.announcer import Announcer
from flashsale.broker import Broker, Delivery
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.ledger import LedgerRefused, Sink
from flashsale.messages.announcements import Decision
from flashsale.messages.codec import MessageError
from flashsale.messages.headers import DIED_AT, LONGEST_REASON, copied_headers, failure_headers
from flashsale.messages.orders import decode_order
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
        """Publish a message to the dead queue, and record its order as failed.

        The caller acknowledges the delivery afterwards: after a crash in between, the message is in
        both queues. Raises `BrokerError` and `LedgerError`.
        """
        reason = reason[:LONGEST_REASON]
        await self.publish(delivery, reason)
        if _ORDER_ID.match(delivery.message_id):
            await _record(sink, delivery, reason)
            self.announcer.announce_failed(
                Decision(delivery.message_id, Status.FAILED, reason, "", 0)
            )

    async def publish(self, delivery: Delivery, reason: str) -> None:
        """Publish a message to the dead queue with a confirm; what becomes of its order is open.

        The broker's own dead-lettering may lose a message
        (https://www.rabbitmq.com/docs/dlx#safety), so this publishes it. Raises `BrokerError`.
        """
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
        self.metrics.dead.inc()
        log.error("order is dead", order_id=delivery.message_id, reason=reason)


async def _record(sink: Sink, delivery: Delivery, reason: str) -> None:
    """Record an order as failed, and whose it is if the message says so: it is shown to no other.

    Raises `LedgerError`.
    """
    order_id, now = OrderId(delivery.message_id), time.time()
    with suppress(MessageError):
        order = decode_order(delivery.body)
        if order.id == order_id:
            # The customer may be what the database can't store.
            with suppress(LedgerRefused):
                return await sink.fail(order_id, reason, now, order.customer_id)
    return await sink.fail(order_id, reason, now)
