"""Orders with a 202 that are neither decided nor in the queue: something took them out of it.

The broker tells nobody that a policy let a message expire, or that somebody purged a queue.
"""

import asyncio
import time

import structlog

from flashsale.broker import Broker, BrokerUnavailable
from flashsale.domain.order_ids import OrderId
from flashsale.ledger import LedgerError
from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.state.backlog import Backlog
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.orders import KnownOrders

log = structlog.get_logger()

_LOOK_SECONDS = 1.0
# The queue was empty and consumed for so long. Meanwhile the drain had time to decide what it had
# in hand, and every other gateway to announce what it had taken.
QUIET_SECONDS = 60.0
_MOST_ORDERS = 1000
_MOST_NAMED = 10


class MissingOrders:
    """Finds orders that wait although nothing is left to be drained."""

    def __init__(
        self,
        orders: KnownOrders,
        backlog: Backlog,
        lookup: LedgerLookup,
        metrics: GatewayMetrics,
        *,
        broker: Broker,
        spilled: str | None,
    ) -> None:
        """Look in the backlog's queue, and in `spilled`, the queue that takes its surplus."""
        self._orders = orders
        self._backlog = backlog
        self._lookup = lookup
        self._metrics = metrics
        self._broker = broker
        self._spilled = spilled
        self._quiet_since: float | None = None
        self._told: set[OrderId] = set()

    async def follow(self) -> None:
        """Keep looking."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look(time.monotonic())

    async def _look(self, now: float) -> None:
        if self._backlog.ready or not self._backlog.consumers:
            self._quiet_since = None
            return
        if self._quiet_since is None:
            self._quiet_since = now
        waited = min(now - self._quiet_since, QUIET_SECONDS)
        waiting = self._orders.oldest_waiting(_MOST_ORDERS, waited)
        if waited < QUIET_SECONDS or not waiting:
            # None of them was missing, or each one was decided after all.
            if not waiting:
                self._show([])
            return
        try:
            if self._spilled and (await self._broker.depth(self._spilled)).ready:
                self._quiet_since = None
                return
            decided = await self._lookup.find_all(waiting)
        except (BrokerUnavailable, LedgerError) as error:
            log.debug("missing orders not looked for", reason=str(error))
            return
        self._show([order_id for order_id in waiting if order_id not in decided])

    def _show(self, missing: list[OrderId]) -> None:
        self._metrics.missing.set(len(missing))
        new = [order_id for order_id in missing if order_id not in self._told]
        self._told = set(missing)
        if new:
            log.error(
                "accepted orders are missing: they are not decided, and the queue is empty; look"
                " for a policy of the broker that lets messages expire",
                count=len(new),
                orders=new[:_MOST_NAMED],
            )
