"""Hear what other gateways took and what the drain decided, and tell what this one takes."""

import asyncio
import secrets

import structlog

from flashsale.broker import Broker, BrokerError
from flashsale.domain.backoff import Backoff
from flashsale.domain.order_ids import OrderId
from flashsale.ledger import LedgerError
from flashsale.messages.announcements import (
    Announcement,
    Arrivals,
    BatchDecided,
    OrdersTaken,
    Taken,
    decode_announcement,
    encode_announcement,
)
from flashsale.messages.codec import MessageError
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.state.arrivals import Traffic
from gateway.state.ledger_lookup import Lookup
from gateway.state.orders import Known, Memory
from gateway.state.queue_position import Line
from gateway.state.sales import Catalogue

log = structlog.get_logger()

TELL_SECONDS = 0.05
_SWEEP_SECONDS = 1.0
_OVERDUE_SECONDS = 2.0
_MOST_SWEPT = 1000
_AT_ONCE = 200
_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 2.0


class Hearing:
    """Keeps memory, line and catalogue true by the fanout exchange.

    What is announced while this gateway is cut off is not lost to its shoppers: orders that wait
    for long, and all of them after a reconnection, are looked up in the ledger.
    """

    def __init__(
        self,
        broker: Broker,
        exchange: str,
        memory: Memory,
        line: Line,
        catalogue: Catalogue,
        lookup: Lookup,
        traffic: Traffic,
        metrics: GatewayMetrics,
    ) -> None:
        """Listen to, and tell, the fanout exchange of that name."""
        self._broker = broker
        self._exchange = exchange
        self._memory = memory
        self._line = line
        self._catalogue = catalogue
        self._lookup = lookup
        self._traffic = traffic
        self._metrics = metrics
        self._name = secrets.token_hex(8)
        self._taken: list[Taken] = []
        self._arrivals: list[Arrivals] = []
        self.began = False
        """Whether it hears, or has: what others took before is not known here until decided."""
        self.decided = 0
        """Orders that the drain said it has decided."""

    def tell(self, known: Known) -> None:
        """Tell the other gateways of an order that this one took."""
        self._taken.append(Taken(known.order_id, known.sku, known.quantity))

    def tell_arrivals(self, arrivals: Arrivals) -> None:
        """Tell the other gateways of a second of this one."""
        self._traffic.add(arrivals)
        self._arrivals.append(arrivals)

    async def follow(self) -> None:
        """Keep hearing."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            try:
                async with self._broker.subscribe(self._exchange) as announcements:
                    backoff.reset()
                    self.began = True
                    await self._sweep(older_than=0, most=1_000_000)
                    while True:
                        await announcements.wait()
                        for announcement in announcements.take(_AT_ONCE):
                            # What this one told itself, it knows.
                            if announcement.message_id != self._name:
                                self._hear(announcement.body)
                        await asyncio.sleep(0)  # requests have their turn
            except (BrokerError, TimeoutError) as error:
                log.warning("announcements interrupted", reason=str(error) or "no answer in time")
            await asyncio.sleep(backoff.next())

    async def sweep(self) -> None:
        """Keep looking up orders that wait longer than usual: their announcement may be lost."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await self._sweep(_OVERDUE_SECONDS, _MOST_SWEPT)

    async def announce(self) -> None:
        """Keep telling what arrived and was taken, many orders in one message."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            arrivals, self._arrivals = self._arrivals, []
            for second in arrivals:
                await self._publish(second)
            if self._taken:
                taken, self._taken = self._taken, []
                await self._publish(OrdersTaken(taken))

    async def _publish(self, announcement: Announcement) -> None:
        body = encode_announcement(announcement)
        try:
            await self._broker.publish(
                self._exchange, "", body, message_id=self._name, mandatory=False
            )
        except BrokerError as error:
            log.debug("nobody was told", reason=str(error))

    def _hear(self, body: bytes) -> None:
        try:
            heard = decode_announcement(body)
        except MessageError as error:
            self._metrics.undecodable.inc()
            log.warning("announcement skipped", reason=str(error))
            return
        match heard:
            case OrdersTaken(orders):
                for order in orders:
                    self._memory.taken(OrderId(order.id), order.sku, order.quantity)
            case Arrivals():
                self._traffic.add(heard)
            case BatchDecided(decisions, sales, drained_per_second):
                self.decided += len(decisions)
                for d in decisions:
                    self._memory.decided(OrderId(d.id), d.status, d.reason, d.sku, d.quantity)
                for sale in sales:
                    self._catalogue.heard(sale.sku, sale.stock, sale.sold)
                self._line.drain_rate = drained_per_second

    async def _sweep(self, older_than: float, most: int) -> None:
        ids = self._memory.oldest_waiting(most, older_than)
        try:
            found = await self._lookup.find_all(ids)
        except LedgerError as error:
            log.debug("orders not looked up", reason=str(error))
            return
        for order_id, outcome in found.items():
            order = outcome.order
            self._memory.decided(
                order_id, outcome.status, outcome.reason, order.sku, order.quantity
            )
