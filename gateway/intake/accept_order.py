"""Accept an order: refuse what can't be sold, publish the rest, and answer once it is confirmed."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from flashsale.broker import BrokerError, Publisher, QueueFull, Unroutable
from flashsale.domain.identity.purchase_pass import PurchasePass, expired
from flashsale.domain.order_ids import OrderId, keyed_order_id, pass_order_id, random_order_id
from flashsale.domain.orders import Order, OrderRequest
from flashsale.domain.sales import Sale, sale_state
from flashsale.ledger import LedgerError
from flashsale.messages.orders import encode_order
from gateway.http.request_log import log_order_id
from gateway.intake.earlier_attempts import AttemptUnknown, EarlierAttempts
from gateway.intake.full_queue import FullQueue
from gateway.intake.refusals import (
    IntakePaused,
    KeyReused,
    LedgerAway,
    OutcomeUnknown,
    PassRefused,
    PassRequired,
    PassUsed,
    QueueIsFull,
    Refusal,
    SaleClosed,
    SaleNotOpen,
    SoldOut,
    UnknownSku,
)
from gateway.intake.retry_after import RetryAfter
from gateway.state.announcements import Announcements
from gateway.state.drain.known_controls import KnownControls
from gateway.state.orders import KnownOrder, KnownOrders
from gateway.state.sales import KnownSales

# Shoppers come back one by one.
_PAUSED_SECONDS = (5.0, 15.0)

_SALE_REFUSALS = {"scheduled": SaleNotOpen, "closed": SaleClosed, "sold_out": SoldOut}


@dataclass(frozen=True, slots=True, eq=False)
class _Publication:
    """An order with a key whose confirm is outstanding. Its twins wait for the same confirm."""

    request: OrderRequest
    confirm: asyncio.Future[None]


def _same_order(order: KnownOrder, request: OrderRequest) -> KnownOrder:
    """Return the order of a key. Raises `KeyReused` if the request is for something else.

    The customer is the same, as the id of the order is made of the customer and the key. The
    contents of a failed order may be unknown.
    """
    if order.sku and (order.sku, order.quantity) != (request.sku, request.quantity):
        raise KeyReused
    return order


def admit_all() -> None:
    """Refuse no order of an unlimited client."""


@dataclass(frozen=True, slots=True, eq=False)
class _Terms:
    """On what terms an order is taken that is not known yet."""

    admit: Callable[[], None]
    purchase_pass: PurchasePass | None = None


@dataclass(frozen=True)
class IntakeParts:
    """What the intake works with. Orders are published to `exchange`.

    `clock` tells the Unix time by which sales open and close. With `owners` the gateways remember
    whose order each one is.
    """

    publisher: Publisher
    exchange: str
    sales: KnownSales
    controls: KnownControls
    orders: KnownOrders
    earlier_attempts: EarlierAttempts
    announcements: Announcements
    full_queue: FullQueue
    retry_after: RetryAfter
    clock: Callable[[], float]
    owners: bool = False


class OrderIntake:
    """Puts orders in the queue. A retry with a key finds the order of the first attempt."""

    def __init__(self, parts: IntakeParts, *, secret: bytes) -> None:
        """`secret` makes the ids of keyed orders."""
        self._publisher = parts.publisher
        self._exchange = parts.exchange
        self._sales = parts.sales
        self._controls = parts.controls
        self._orders = parts.orders
        self._earlier_attempts = parts.earlier_attempts
        self._announcements = parts.announcements
        self._full_queue = parts.full_queue
        self._retry_after = parts.retry_after
        self._clock = parts.clock
        self._owners = parts.owners
        self._secret = secret
        self._publications: dict[OrderId, _Publication] = {}

    async def accept(
        self,
        request: OrderRequest,
        key: str | None,
        purchase_pass: PurchasePass | None = None,
        admit: Callable[[], None] = admit_all,
    ) -> KnownOrder:
        """Return the order once the broker has confirmed it. Raises `Refusal`.

        A retry under the same key is not refused: it gets the order of the first attempt. With a
        pass, the pass is the key. An order that is not known here is published only if `admit`
        raises no `Refusal`.
        """
        if purchase_pass is not None:
            return await self._accept_by_pass(request, purchase_pass, _Terms(admit, purchase_pass))
        if key is None:
            admit()
            self._require_open(await self._sale(request.sku))
            self._require_room()
            order_id = random_order_id()
            log_order_id(order_id)
            await self._confirmed(order_id, self._publish(order_id, request))
            return self._taken(order_id, request)
        order_id = keyed_order_id(self._secret, request.customer_id, key)
        return await self._accept_once(order_id, request, _Terms(admit))

    async def _accept_by_pass(
        self, request: OrderRequest, purchase_pass: PurchasePass, terms: _Terms
    ) -> KnownOrder:
        if mismatch := purchase_pass.mismatch(request):
            raise PassRefused(mismatch)
        order_id = pass_order_id(self._secret, purchase_pass.sku, purchase_pass.jti)
        try:
            order = await self._accept_once(order_id, request, terms)
            if order.customer_id is None:
                order = await self._earlier_attempts.with_owner(order)
        except AttemptUnknown as error:
            raise LedgerAway from error
        except KeyReused as error:
            raise PassUsed from error
        # The id says nothing about the customer here.
        if order.customer_id != request.customer_id:
            raise PassUsed
        return order

    async def _accept_once(
        self, order_id: OrderId, request: OrderRequest, terms: _Terms
    ) -> KnownOrder:
        log_order_id(order_id)
        try:
            return _same_order(await self._accept_keyed(order_id, request, terms), request)
        except KeyReused:
            raise
        except Refusal as refusal:
            return await self._first_attempt(order_id, request, refusal)

    async def _accept_keyed(
        self, order_id: OrderId, request: OrderRequest, terms: _Terms
    ) -> KnownOrder:
        order = self._orders.get(order_id)
        if order is not None:
            return await self._earlier_attempts.latest(order)
        publication = self._publications.get(order_id)
        if publication is None:
            terms.admit()
            self._require_open(await self._sale(request.sku), terms.purchase_pass)
            # The same order may have come again while the sale was looked up.
            publication = self._publications.get(order_id)
        if publication is None:
            self._require_room()
            publication = _Publication(request, self._publish(order_id, request))
            self._publications[order_id] = publication
        if publication.request != request:
            raise KeyReused
        try:
            await self._confirmed(order_id, publication.confirm)
        finally:
            # A retry after a refusal publishes again. The ledger takes both messages as one order.
            if self._publications.get(order_id) is publication:
                del self._publications[order_id]
        return self._taken(order_id, request)

    async def _first_attempt(
        self, order_id: OrderId, request: OrderRequest, refusal: Refusal
    ) -> KnownOrder:
        """Return the order of the first attempt. Raises the refusal if there was none."""
        refusal.order_id = order_id
        try:
            order = await self._earlier_attempts.find(order_id, request.sku)
        except AttemptUnknown:
            refusal.earlier_unknown = True
            raise refusal from None
        if order is None:
            raise refusal
        return _same_order(order, request)

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

    def _require_open(self, sale: Sale, purchase_pass: PurchasePass | None = None) -> None:
        """Raise a `Refusal` unless orders of the sale are taken now, with this pass."""
        state = sale_state(sale, self._clock())
        if state != "open":
            raise _SALE_REFUSALS[state]
        controls = self._controls.current
        if controls.intake_paused:
            wait = random.uniform(*_PAUSED_SECONDS)  # noqa: S311
            raise IntakePaused(controls.notice, wait)
        if purchase_pass is not None:
            if expired(purchase_pass.expires_at, self._clock()):
                raise PassRefused("The pass has expired.")
        elif sale.needs_pass:
            raise PassRequired

    def _require_room(self) -> None:
        """Raise a `Refusal` if the queue is known to be full. If it does not, publish at once."""
        if self._full_queue.known and not self._full_queue.lets_ask():
            raise QueueIsFull(self._retry_after.count_refusal())

    def _publish(self, order_id: OrderId, request: OrderRequest) -> asyncio.Future[None]:
        body = encode_order(
            Order(order_id, request.sku, request.customer_id, request.quantity, self._clock())
        )
        try:
            confirm = self._publisher.publish(self._exchange, "order", body, message_id=order_id)
        except BrokerError as error:
            raise self._refusal(order_id, error) from error
        if self._full_queue.known:
            self._full_queue.note_asked(confirm)
        return confirm

    async def _confirmed(self, order_id: OrderId, confirm: asyncio.Future[None]) -> None:
        try:
            await confirm
        except BrokerError as error:
            raise self._refusal(order_id, error) from error

    def _taken(self, order_id: OrderId, request: OrderRequest) -> KnownOrder:
        order = self._orders.get(order_id)
        if order is None:
            owner = request.customer_id if self._owners else None
            order = self._orders.add_taken(order_id, request.sku, request.quantity, owner)
            self._announcements.announce_taken(order)
        return order

    def _refusal(self, order_id: OrderId, error: BrokerError) -> Refusal:
        # Nothing is bound for orders while the limit of the queue changes.
        if isinstance(error, QueueFull | Unroutable):
            self._full_queue.note_refusal()
            return QueueIsFull(self._retry_after.count_refusal())
        return OutcomeUnknown(order_id, retry_after=1 + random.random())  # noqa: S311
