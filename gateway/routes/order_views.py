"""An order as its shopper sees it, in each of its states."""

from datetime import datetime
from typing import Literal

import msgspec

from flashsale.domain.moments import moment_at
from flashsale.domain.order_states import DeliveryState, Status
from gateway.context import Context
from gateway.state.orders import KnownOrder

_encode = msgspec.json.Encoder().encode


class QueuedView(msgspec.Struct, omit_defaults=True):
    """An order that waits. `position` 1 is next; `eta_seconds` is null if nothing moves.

    `paused` is there while an operator has paused the drain.
    """

    order_id: str
    status: Status
    position: int
    eta_seconds: float | None
    paused: bool = False


class HeldView(msgspec.Struct, omit_defaults=True):
    """An order whose items are reserved until the payment comes or the hold ends.

    `expires_in_seconds` is from the time of the answer, by the clock that ends holds, so that the
    clock of the client does not matter. It is 0 once the time is over. The order is still held
    then, until the drain has ended the hold.
    """

    order_id: str
    status: Status
    sku: str
    quantity: int
    expires_at: datetime
    expires_in_seconds: float
    pay_url: str | None = None
    """Where to pay, until the time is over."""
    extendable: bool = False
    """Whether the hold may be extended now."""
    extended: bool = False
    """Whether the hold was extended."""


class WaitlistedView(msgspec.Struct, omit_defaults=True):
    """An order that waits for items that others hold.

    `position` 1 is next. It may be too high if somebody has left the line, and never too low.
    """

    order_id: str
    status: Status
    sku: str
    quantity: int
    position: int


class DecidedView(msgspec.Struct, omit_defaults=True):
    """An order that is decided.

    `delivery` is there if a confirmed order is delivered to the order service of the shop, and
    `order_ref` once that has told its own name of the order.
    """

    order_id: str
    status: Status
    reason: str | None = None
    sku: str | None = None
    quantity: int | None = None
    remaining: int | None = None
    order_ref: str | None = None
    delivery: DeliveryState | None = None


OrderView = QueuedView | HeldView | WaitlistedView | DecidedView

VIEWS: tuple[type[msgspec.Struct], ...] = (QueuedView, HeldView, WaitlistedView, DecidedView)
"""The views, one of which each order has."""


def order_view(context: Context, order: KnownOrder) -> OrderView:
    """Return an order as its shopper sees it."""
    match order.status:
        case Status.QUEUED:
            position = context.queue_position.of(order.number)
            eta = context.queue_position.eta_seconds(position, context.backlog.consumers)
            return QueuedView(order.order_id, order.status, position, eta, context.drain.paused)
        case Status.HELD:
            return _held_view(context, order)
        case Status.WAITLISTED:
            return _waitlisted_view(context, order)
    return DecidedView(
        order.order_id,
        order.status,
        order.reason,
        order.sku or None,
        order.quantity or None,
        order.remaining,
        order.order_ref,
        order.delivery,
    )


def _held_view(context: Context, order: KnownOrder) -> HeldView:
    ends = order.expires_at or 0.0
    left = max(0.0, ends - context.drain.clock.now())
    sale = context.sales.get(order.sku)
    address = context.holds.pay_address
    return HeldView(
        order.order_id,
        order.status,
        order.sku,
        order.quantity,
        moment_at(ends),
        round(left, 3),
        # A payment that comes later may have to be given back.
        address.of(order.order_id, order.sku, order.quantity) if address and left else None,
        bool(left) and sale is not None and sale.extendable and not order.extended,
        order.extended,
    )


def _waitlisted_view(context: Context, order: KnownOrder) -> WaitlistedView:
    sale = context.sales.get(order.sku)
    place = order.place or 1
    head = 1 if sale is None else sale.line_head
    return WaitlistedView(
        order.order_id, order.status, order.sku, order.quantity, max(1, place - head + 1)
    )


class DecidedReceipt(DecidedView, kw_only=True):
    """The answer to a retry of an order that is decided."""

    position: Literal[0]
    eta_seconds: float


class HeldReceipt(HeldView, kw_only=True):
    """The answer to a retry of an order that is held."""

    position: Literal[0]
    eta_seconds: float


class WaitlistedReceipt(WaitlistedView, kw_only=True):
    """The answer to a retry of an order that waits for items that others hold."""

    eta_seconds: None


RECEIPTS: tuple[type[msgspec.Struct], ...] = (
    *(QueuedView, HeldReceipt, WaitlistedReceipt, DecidedReceipt),
)
"""The bodies of a 202, one of which each order has."""


def encode_receipt(context: Context, order: KnownOrder) -> bytes:
    """Return the body of a 202. The position is 0 if a retry finds the order decided."""
    view = order_view(context, order)
    match view:
        case HeldView():
            view = HeldReceipt(**msgspec.structs.asdict(view), position=0, eta_seconds=0.0)
        case WaitlistedView():
            view = WaitlistedReceipt(**msgspec.structs.asdict(view), eta_seconds=None)
        case DecidedView():
            view = DecidedReceipt(**msgspec.structs.asdict(view), position=0, eta_seconds=0.0)
    return _encode(view)
