"""Accept an order: refuse at once what can't be, publish the rest, and answer once confirmed."""

import asyncio
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from flashsale.broker import Broker, BrokerError, QueueFull
from flashsale.ledger import LedgerError
from flashsale.orders import (
    Order,
    OrderId,
    OrderRequest,
    encode_order,
    keyed_order_id,
    random_order_id,
)
from flashsale.selling import Sale
from gateway.backlog import Backlog
from gateway.catalogue import Catalogue, sale_state
from gateway.problems import Problem

REMEMBERED_ORDERS = 100_000

_REFUSALS = {
    "scheduled": ("sale-not-open", "This sale has not begun."),
    "closed": ("sale-closed", "This sale is over."),
    "sold_out": ("sold-out", "Every item of this sale is sold."),
}


def _require_open(sale: Sale, keyed_id: OrderId | None) -> None:
    state = sale_state(sale, time.time())
    if state != "open":
        kind, detail = _REFUSALS[state]
        # An attempt before this one, at another gateway, may have been taken all the same.
        members: dict[str, Any] = {"order_id": keyed_id} if keyed_id else {}
        raise Problem(kind, detail, **members)


@dataclass(slots=True)
class Accepted:
    """An order that went to the broker. `number` is its place among this gateway's."""

    request: OrderRequest
    confirm: asyncio.Future[None] | None
    number: int | None = None


class Desk:
    """Takes orders for the queue, and remembers the latest, so that a retry meets them."""

    def __init__(
        self, broker: Broker, exchange: str, catalogue: Catalogue, backlog: Backlog, secret: bytes
    ) -> None:
        """Publish to `exchange`; `secret` makes the ids of keyed orders."""
        self._broker = broker
        self._exchange = exchange
        self._catalogue = catalogue
        self._backlog = backlog
        self._secret = secret
        self._accepted: OrderedDict[OrderId, Accepted] = OrderedDict()

    async def accept(self, request: OrderRequest, key: str | None) -> tuple[OrderId, int]:
        """Put the order in the queue; its id and its number. Raises `Problem`."""
        if key is None:
            order_id = random_order_id()
        else:
            order_id = keyed_order_id(self._secret, request.customer_id, key)
        order = self._accepted.get(order_id)
        if order is None:
            sale = self._catalogue.get(request.sku) or await self._find_sale(request.sku)
            _require_open(sale, order_id if key else None)
            # Its twin may have come while the sale was looked up: ask again.
            order = self._accepted.get(order_id) or self._publish(order_id, request)
        if order.request != request:
            raise Problem("key-reused", "Use a new key for a new order.")
        if order.confirm is not None:
            await self._confirmed(order_id, order, order.confirm)
        return order_id, order.number or 0

    def number(self, order_id: OrderId) -> int | None:
        """The number of an order that this gateway put in the queue; None if it knows of none."""
        order = self._accepted.get(order_id)
        return None if order is None else order.number

    async def _find_sale(self, sku: str) -> Sale:
        try:
            sale = await self._catalogue.find(sku)
        except LedgerError as error:
            raise Problem("ledger-unavailable", "Try again.", retry_after=1) from error
        if sale is None:
            raise Problem("unknown-sku", f"There is no sale of {sku}.")
        return sale

    def _publish(self, order_id: OrderId, request: OrderRequest) -> Accepted:
        body = encode_order(
            Order(order_id, request.sku, request.customer_id, request.quantity, time.time())
        )
        try:
            confirm = self._broker.publish(self._exchange, "order", body, message_id=order_id)
        except BrokerError as error:
            raise self._problem(order_id, error) from error
        order = self._accepted[order_id] = Accepted(request, confirm)
        if len(self._accepted) > REMEMBERED_ORDERS:
            self._accepted.popitem(last=False)
        return order

    async def _confirmed(
        self, order_id: OrderId, order: Accepted, confirm: asyncio.Future[None]
    ) -> None:
        try:
            await confirm
        except BrokerError as error:
            # Forgotten, so that a retry publishes again; the ledger knows both as one order.
            if self._accepted.get(order_id) is order:
                del self._accepted[order_id]
            raise self._problem(order_id, error) from error
        if order.number is None:
            order.number = self._backlog.published()
            order.confirm = None

    def _problem(self, order_id: OrderId, error: BrokerError) -> Problem:
        if isinstance(error, QueueFull):
            retry_after = self._backlog.retry_after()
            return Problem(
                "queue-full", "Your order was not taken. Come back.", retry_after=retry_after
            )
        return Problem(
            "broker-unavailable",
            "Look the order up by its id, or send it again with the same Idempotency-Key: that"
            " is safe.",
            retry_after=1 + random.random(),  # noqa: S311
            order_id=order_id,
        )
