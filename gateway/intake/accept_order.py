"""Accept an order: refuse what can't be sold, publish the rest, and answer once it is confirmed."""

import asyncio
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from flashsale.broker import BrokerError, Publisher, QueueFull, Unroutable
from flashsale.domain.order_ids import OrderId, keyed_order_id, random_order_id
from flashsale.domain.orders import Order, OrderRequest
from flashsale.domain.sales import Sale, sale_state
from flashsale.ledger import LedgerError
from flashsale.messages.orders import encode_order
from gateway.http.request_log import log_order_id
from gateway.intake.refusals import (
    KeyReused,
    LedgerAway,
    OutcomeUnknown,
    QueueIsFull,
    Refusal,
    SaleClosed,
    SaleNotOpen,
    SoldOut,
    UnknownSku,
)
from gateway.intake.retry_after import RetryAfter
from gateway.state.announcements import Announcements
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.sales import KnownSales

_MOST_KEYS = 100_000

_SALE_REFUSALS = {"scheduled": SaleNotOpen, "closed": SaleClosed, "sold_out": SoldOut}


class KeyedOrder(msgspec.Struct, gc=False, eq=False):
    """An order that came with an Idempotency-Key, and its confirm while that is outstanding.

    The garbage collector does not track it, as there may be a hundred thousand.
    """

    request: OrderRequest
    confirm: Any  # an asyncio.Future[None], None once the order is confirmed


def _require_open(sale: Sale, keyed_id: OrderId | None) -> None:
    state = sale_state(sale, time.time())
    if state != "open":
        # The client may look up an earlier attempt, which another gateway may have taken.
        raise _SALE_REFUSALS[state](keyed_id)


@dataclass(frozen=True)
class IntakeParts:
    """What the intake works with. Orders are published to `exchange`."""

    publisher: Publisher
    exchange: str
    sales: KnownSales
    orders: KnownOrders
    announcements: Announcements
    retry_after: RetryAfter


class OrderIntake:
    """Puts orders in the queue, and remembers those with a key, so that a retry finds them."""

    def __init__(self, parts: IntakeParts, *, secret: bytes, most_orders: int) -> None:
        """`secret` makes the ids of keyed orders; remember the keys of `most_orders` at most."""
        self._publisher = parts.publisher
        self._exchange = parts.exchange
        self._sales = parts.sales
        self._orders = parts.orders
        self._announcements = parts.announcements
        self._retry_after = parts.retry_after
        self._secret = secret
        self._most_keys = min(most_orders, _MOST_KEYS)
        self._keyed: OrderedDict[OrderId, KeyedOrder] = OrderedDict()

    async def accept(self, request: OrderRequest, key: str | None) -> KnownOrder:
        """Return the order once the broker has confirmed it. Raises `Refusal`."""
        if key is None:
            order_id = random_order_id()
            log_order_id(order_id)
            _require_open(await self._sale(request.sku), None)
            await self._confirmed(order_id, self._publish(order_id, request))
            return self._taken(order_id, request)
        order_id = keyed_order_id(self._secret, request.customer_id, key)
        log_order_id(order_id)
        keyed = self._keyed.get(order_id)
        if keyed is None:
            _require_open(await self._sale(request.sku), order_id)
            # The same order may have come again while the sale was looked up.
            keyed = self._keyed.get(order_id)
        if keyed is None:
            keyed = KeyedOrder(request, self._publish(order_id, request))
            self._keyed[order_id] = keyed
            if len(self._keyed) > self._most_keys:
                self._keyed.popitem(last=False)
        if keyed.request != request:
            raise KeyReused
        if keyed.confirm is not None:
            try:
                await self._confirmed(order_id, keyed.confirm)
            except Refusal:
                # Forget the key, so that a retry publishes again. The ledger takes both messages
                # as one order.
                if self._keyed.get(order_id) is keyed:
                    del self._keyed[order_id]
                raise
            keyed.confirm = None
        return self._taken(order_id, request)

    async def _sale(self, sku: str) -> Sale:
        return self._sales.get(sku) or await self._find_sale(sku)

    async def _find_sale(self, sku: str) -> Sale:
        try:
            sale = await self._sales.find(sku)
        except LedgerError as error:
            raise LedgerAway from error
        if sale is None:
            raise UnknownSku(sku)
        return sale

    def _publish(self, order_id: OrderId, request: OrderRequest) -> asyncio.Future[None]:
        if self._retry_after.queue_is_full:
            raise QueueIsFull(self._retry_after.count_refusal())
        body = encode_order(
            Order(order_id, request.sku, request.customer_id, request.quantity, time.time())
        )
        try:
            return self._publisher.publish(self._exchange, "order", body, message_id=order_id)
        except BrokerError as error:
            raise self._refusal(order_id, error) from error

    async def _confirmed(self, order_id: OrderId, confirm: asyncio.Future[None]) -> None:
        try:
            await confirm
        except BrokerError as error:
            raise self._refusal(order_id, error) from error

    def _taken(self, order_id: OrderId, request: OrderRequest) -> KnownOrder:
        order = self._orders.get(order_id)
        if order is None:
            order = self._orders.add_taken(order_id, request.sku, request.quantity)
            self._announcements.announce_taken(order)
        return order

    def _refusal(self, order_id: OrderId, error: BrokerError) -> Refusal:
        # Nothing is bound for orders while the limit of the queue changes.
        if isinstance(error, QueueFull | Unroutable):
            self._retry_after.note_full_queue()
            return QueueIsFull(self._retry_after.count_refusal())
        return OutcomeUnknown(order_id, retry_after=1 + random.random())  # noqa: S311
