"""Accept an order: refuse at once what can't be, publish the rest, and answer once confirmed."""

import asyncio
import random
import time
from collections import OrderedDict
from typing import Any

import msgspec

from flashsale.broker import BrokerError, Publisher, QueueFull
from flashsale.domain.order_ids import OrderId, keyed_order_id, random_order_id
from flashsale.domain.orders import Order, OrderRequest
from flashsale.domain.sales import Sale, sale_state
from flashsale.ledger import LedgerError
from flashsale.messages.orders import encode_order
from gateway.http.problems import Problem
from gateway.http.request_log import tag_order
from gateway.state.announcements import Hearing
from gateway.state.backlog import Backlog
from gateway.state.orders import Known, Memory
from gateway.state.sales import Catalogue

_MOST_KEYS = 100_000

_REFUSALS = {
    "scheduled": ("sale-not-open", "This sale has not begun."),
    "closed": ("sale-closed", "This sale is over."),
    "sold_out": ("sold-out", "Every item of this sale is sold."),
}


class Keyed(msgspec.Struct, gc=False, eq=False):
    """An order that came with a key; `confirm` is what it waits for, if it does.

    A struct that the garbage collector leaves alone, as there are a hundred thousand.
    """

    request: OrderRequest
    confirm: Any  # an asyncio.Future[None], until it has ended


def _require_open(sale: Sale, keyed_id: OrderId | None) -> None:
    state = sale_state(sale, time.time())
    if state != "open":
        kind, detail = _REFUSALS[state]
        # An attempt before this one, at another gateway, may have been taken all the same.
        members: dict[str, Any] = {"order_id": keyed_id} if keyed_id else {}
        raise Problem(kind, detail, **members)


class Desk:
    """Takes orders for the queue, and remembers keyed ones, so that a retry meets them."""

    def __init__(
        self,
        broker: Publisher,
        exchange: str,
        catalogue: Catalogue,
        backlog: Backlog,
        memory: Memory,
        hearing: Hearing,
        secret: bytes,
        remembered: int,
    ) -> None:
        """Publish to `exchange`; `secret` makes the ids of keyed orders.

        Of at most `remembered` orders the key is known here.
        """
        self._broker = broker
        self._exchange = exchange
        self._catalogue = catalogue
        self._backlog = backlog
        self._memory = memory
        self._hearing = hearing
        self._secret = secret
        self._most_keys = min(remembered, _MOST_KEYS)
        self._keyed: OrderedDict[OrderId, Keyed] = OrderedDict()

    async def accept(self, request: OrderRequest, key: str | None) -> Known:
        """Put the order in the queue; what is known of it then. Raises `Problem`."""
        if key is None:
            order_id = random_order_id()
            tag_order(order_id)
            _require_open(await self._sale(request.sku), None)
            await self._confirmed(order_id, self._publish(order_id, request))
            return self._taken(order_id, request)
        order_id = keyed_order_id(self._secret, request.customer_id, key)
        tag_order(order_id)
        keyed = self._keyed.get(order_id)
        if keyed is None:
            _require_open(await self._sale(request.sku), order_id)
            # Its twin may have come while the sale was looked up: ask again.
            keyed = self._keyed.get(order_id)
        if keyed is None:
            keyed = Keyed(request, self._publish(order_id, request))
            self._keyed[order_id] = keyed
            if len(self._keyed) > self._most_keys:
                self._keyed.popitem(last=False)
        if keyed.request != request:
            raise Problem("key-reused", "Use a new key for a new order.")
        if keyed.confirm is not None:
            try:
                await self._confirmed(order_id, keyed.confirm)
            except Problem:
                # Forgotten, so that a retry publishes again; the ledger knows both as one order.
                if self._keyed.get(order_id) is keyed:
                    del self._keyed[order_id]
                raise
            keyed.confirm = None
        return self._taken(order_id, request)

    async def _sale(self, sku: str) -> Sale:
        return self._catalogue.get(sku) or await self._find_sale(sku)

    async def _find_sale(self, sku: str) -> Sale:
        try:
            sale = await self._catalogue.find(sku)
        except LedgerError as error:
            raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
        if sale is None:
            raise Problem("unknown-sku", f"There is no sale of {sku}.")
        return sale

    def _publish(self, order_id: OrderId, request: OrderRequest) -> asyncio.Future[None]:
        if self._backlog.full:
            raise self._queue_full()
        body = encode_order(
            Order(order_id, request.sku, request.customer_id, request.quantity, time.time())
        )
        try:
            return self._broker.publish(self._exchange, "order", body, message_id=order_id)
        except BrokerError as error:
            raise self._problem(order_id, error) from error

    async def _confirmed(self, order_id: OrderId, confirm: asyncio.Future[None]) -> None:
        try:
            await confirm
        except BrokerError as error:
            raise self._problem(order_id, error) from error

    def _taken(self, order_id: OrderId, request: OrderRequest) -> Known:
        known = self._memory.get(order_id)
        if known is None:
            known = self._memory.taken(order_id, request.sku, request.quantity)
            self._hearing.tell(known)
        return known

    def _problem(self, order_id: OrderId, error: BrokerError) -> Problem:
        if isinstance(error, QueueFull):
            self._backlog.refused()
            return self._queue_full()
        return Problem(
            "broker-unavailable",
            "Look the order up by its id, or send it again with the same Idempotency-Key: that"
            " is safe.",
            retry_after=1 + random.random(),  # noqa: S311
            order_id=order_id,
        )

    def _queue_full(self) -> Problem:
        return Problem(
            "queue-full",
            "Your order was not taken. Come back.",
            retry_after=self._backlog.retry_after(),
        )
