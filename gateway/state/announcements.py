"""The fanout exchange: hear what others took and decided, and announce what this gateway takes."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import structlog

from flashsale.broker import Broker, BrokerError
from flashsale.domain.backoff import Backoff
from flashsale.domain.order_ids import OrderId
from flashsale.ledger import LedgerError
from flashsale.messages.announcements import (
    Announcement,
    Arrivals,
    BatchDecided,
    ClientsSeen,
    OrdersMoved,
    OrdersTaken,
    Taken,
    TermsChanged,
    decision_on,
    decode_announcement,
    encode_announcement,
)
from flashsale.messages.codec import MessageError
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.limits.client_limits import ClientLimits
from gateway.state.arrivals import ArrivalsBySecond, OtherGateways
from gateway.state.backlog import Backlog
from gateway.state.drain.known_controls import KnownControls
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.sales import KnownSales
from gateway.state.stream_changes import StreamChanges

log = structlog.get_logger()

LONGEST_ANNOUNCE_SECONDS = 0.1
"""An order that a gateway took is announced to the others so much later at the latest."""
_ANNOUNCE_SECONDS = 0.05
# From here on a gateway hears more announcements of others than it saves by shorter waits.
_MANY_GATEWAYS = 4
_SWEEP_SECONDS = 1.0
_OVERDUE_SECONDS = 2.0
_FEW_SWEPT = 50
_MOST_SWEPT = 1000
_WHOLE_SWEEPS = 5
_AT_ONCE = 200
_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class AnnouncedState:
    """What announcements update."""

    orders: KnownOrders
    sales: KnownSales
    backlog: Backlog
    drain: KnownDrain
    controls: KnownControls
    arrivals: ArrivalsBySecond
    other_gateways: OtherGateways
    changes: StreamChanges
    client_limits: ClientLimits | None = None


class Announcements:
    """Keeps the gateway's state up to date by the announcements of other processes.

    A gateway that is cut off misses announcements. So it looks orders that have waited for long up
    in the ledger, and all orders that wait after a reconnection.
    """

    def __init__(
        self,
        broker: Broker,
        exchange: str,
        state: AnnouncedState,
        *,
        lookup: LedgerLookup,
        metrics: GatewayMetrics,
    ) -> None:
        """Subscribe and publish to the fanout exchange of that name."""
        self._broker = broker
        self._exchange = exchange
        self._state = state
        self._lookup = lookup
        self._metrics = metrics
        self._name = secrets.token_hex(8)
        self._taken: list[Taken] = []
        self._arrivals: list[Arrivals] = []
        self._moved: list[OrdersMoved] = []
        self.began = False
        """Whether it has ever subscribed. Before that, orders of other gateways are unknown."""
        self.decided = 0
        """Orders that the drain announced as decided."""

    def announce_taken(self, order: KnownOrder) -> None:
        """Announce an order that this gateway took."""
        self._taken.append(Taken(order.order_id, order.sku, order.quantity, order.customer_id))

    def announce_moved(self, moved: OrdersMoved) -> None:
        """Take in what this gateway has changed in the ledger, and announce it.

        Gateways that miss it read the sales, and look the orders up in turn.
        """
        self._take_in(moved)
        self._moved.append(moved)

    async def announce_terms(self) -> None:
        """Announce that an operator has changed something. Gateways that miss it read it later."""
        await self._publish(TermsChanged())

    def announce_arrivals(self, arrivals: Arrivals) -> None:
        """Count and announce one second of this gateway's arrivals."""
        self._state.arrivals.add(arrivals)
        self._arrivals.append(arrivals)

    async def follow(self) -> None:
        """Keep hearing announcements; subscribe again after an interruption."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            try:
                async with self._broker.subscribe(self._exchange) as announcements:
                    backoff.reset()
                    self._state.orders.hear()
                    await self._look_up_waiting(older_than=0, most=1_000_000)
                    await self._look_up(self._state.orders.open.all())
                    await self._state.backlog.recount()
                    self.began = True
                    while True:
                        await announcements.wait()
                        for announcement in announcements.take(_AT_ONCE):
                            # This gateway's own announcements come back to it.
                            if announcement.message_id != self._name:
                                self._apply(announcement.body, announcement.message_id)
                        if len(announcements):
                            await asyncio.sleep(0)  # let requests have their turn
            except (BrokerError, TimeoutError) as error:
                self._state.orders.stop_hearing()
                log.warning("announcements interrupted", reason=str(error) or "no answer in time")
            await asyncio.sleep(backoff.next())

    async def sweep(self) -> None:
        """Keep looking up orders that wait longer than usual: their announcement may be lost.

        The drain takes the oldest first. So a few of the oldest tell whether any is decided, and
        more are looked up if one is. A whole sweep every few seconds finds what that misses.
        """
        for number in count(1):
            await asyncio.sleep(_SWEEP_SECONDS)
            whole = number % _WHOLE_SWEEPS == 0
            if whole or await self._look_up_waiting(_OVERDUE_SECONDS, _FEW_SWEPT):
                await self._look_up_waiting(_OVERDUE_SECONDS, _MOST_SWEPT)
            await self._look_up(self._state.orders.open.doubtful(self._state.drain.clock.now()))

    async def announce(self) -> None:
        """Keep publishing what arrived and was taken, many orders in one message.

        All gateways do so at the same moments, so that each hears of the others at once, and is
        woken up once.
        """
        while True:
            await asyncio.sleep(self._until_next_announcement(time.time()))
            arrivals, self._arrivals = self._arrivals, []
            for second in arrivals:
                await self._publish(second)
            moved, self._moved = self._moved, []
            for change in moved:
                await self._publish(change)
            if self._taken:
                taken, self._taken = self._taken, []
                await self._publish(OrdersTaken(taken))
            if self._state.client_limits is not None:
                seen = self._state.client_limits.news()
                if seen is not None:
                    await self._publish(seen)

    def _until_next_announcement(self, now: float) -> float:
        """Return the seconds from Unix time `now` to the next moment of announcements."""
        many = self._state.other_gateways.count() >= _MANY_GATEWAYS - 1
        seconds = LONGEST_ANNOUNCE_SECONDS if many else _ANNOUNCE_SECONDS
        return seconds - now % seconds

    async def _publish(self, announcement: Announcement) -> None:
        body = encode_announcement(announcement)
        try:
            await self._broker.publish(
                self._exchange, "", body, message_id=self._name, mandatory=False
            )
        except BrokerError as error:
            log.debug("announcement not published", reason=str(error))

    def _apply(self, body: bytes, sender: str) -> None:
        try:
            announcement = decode_announcement(body)
        except MessageError as error:
            self._metrics.undecodable.inc()
            log.warning("announcement skipped", reason=str(error))
            return
        state = self._state
        match announcement:
            case OrdersTaken(orders):
                state.other_gateways.heard(sender)
                state.orders.add_all_taken(orders)
            case Arrivals():
                state.arrivals.add(announcement)
            case BatchDecided(decisions, sales, speed, rate, told_at, paused, cap, reason, resumes):
                self.decided += state.orders.add_all_decided(decisions)
                for sale in sales:
                    state.sales.update_sold(sale)
                state.drain.announced(speed, rate, cap, reason, resumes)
                state.controls.announced(paused)
                if told_at is not None:
                    moment = time.monotonic()
                    state.drain.clock_skew.heard(told_at, time.time(), moment)
                    state.drain.clock.heard(told_at, moment)
                if decisions or sales:
                    state.changes.queue_changed()
            case OrdersMoved():
                self._take_in(announcement)
            case ClientsSeen():
                if state.client_limits is not None:
                    state.client_limits.hear(announcement)
            case TermsChanged():
                state.controls.read_soon()
                state.sales.read_soon()

    def _take_in(self, moved: OrdersMoved) -> None:
        for decision in moved.decisions:
            self._state.orders.add_moved(decision)
        for sale in moved.sales:
            self._state.sales.update_sold(sale)
        self._state.changes.queue_changed()

    async def _look_up_waiting(self, older_than: float, most: int) -> bool:
        return await self._look_up(self._state.orders.oldest_waiting(most, older_than))

    async def _look_up(self, ids: Sequence[OrderId]) -> bool:
        """Take in what the ledger has of these orders; return whether it has any."""
        if not ids:
            return False
        try:
            found = await self._lookup.find_all(ids)
        except LedgerError as error:
            log.debug("orders not looked up", reason=str(error))
            return False
        for outcome in found.values():
            self._state.orders.add_decided(decision_on(outcome))
        if found:
            self._state.changes.queue_changed()
        return bool(found)
