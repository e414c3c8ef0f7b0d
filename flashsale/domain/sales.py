"""The rule of the sale: decide a batch by the stock, the limits and earlier purchases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from flashsale.domain.errors import FlashsaleError
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Reason, Status
from flashsale.domain.orders import Order, Outcome


@dataclass(frozen=True)
class Sale:
    """The terms of a sale, and the items sold. Times are Unix seconds, limits are items.

    `stock` is None if the stock is the shop's: its order service then decides each order.
    Shoppers see the title, the price with its currency and the picture. Only the amounts of
    payments are compared with the price. Each change of an operator makes the next `version`.
    """

    sku: str
    stock: int | None
    sold: int = 0
    customer_limit: int | None = None
    opens_at: float | None = None
    closes_at: float | None = None
    title: str | None = None
    price: str | None = None
    """A decimal number, such as `499.00`."""
    currency: str | None = None
    """Three letters of ISO 4217, such as `EUR`."""
    picture_url: str | None = None
    """An address of https, or a path of the site of the gateway."""
    needs_pass: bool = False
    """Whether each order needs a purchase pass of the shop."""
    sold_out: bool = False
    """Whether the shop has said that nothing is left of its stock. False if the stock is ours."""
    version: int = 1
    hold_seconds: int | None = None
    """How long an order holds its items for a payment. None: an order buys them at once."""
    waitlist: int | None = None
    """How many orders may wait for items that others hold. None: none."""
    cancellable: bool = False
    """Whether a confirmed order may be cancelled."""
    extendable: bool = False
    """Whether a customer may extend a hold once, by `hold_seconds`."""
    held: int = 0
    """The items that are held for payments."""
    waiting: int = 0
    """The orders in the waiting list."""
    waited: int = 0
    """The orders that have ever been in the waiting list: the latest one's number in it."""
    line_head: int = 1
    """The number of the first order in the waiting list, or a smaller one."""

    @property
    def remaining(self) -> int | None:
        """The items that can still be sold; negative if the sale is oversold.

        None if the stock is the shop's.
        """
        return None if self.stock is None else self.stock - self.sold - self.held

    @property
    def nothing_left(self) -> bool:
        """Whether no more items can be sold, as far as we know.

        What is held may be free again. Until then orders may wait for it, and who holds it may ask
        for it again.
        """
        return self.sold_out if self.stock is None else self.stock <= self.sold

    @property
    def has_holds(self) -> bool:
        """Whether orders of this sale hold items, or may hold some."""
        return self.hold_seconds is not None or self.held > 0 or self.waiting > 0

    def but(self, **fields: Any) -> "Sale":
        """Return a copy with other values of these fields.

        `dataclasses.replace` takes five times as long, and a batch may have as many sales as
        orders.
        """
        other = object.__new__(Sale)
        vars(other).update(vars(self), **fields)
        return other

    def opened(self, at: float) -> bool:
        """Return whether the sale had opened by Unix time `at`."""
        return self.opens_at is None or self.opens_at <= at

    def closed(self, at: float) -> bool:
        """Return whether the sale had closed by Unix time `at`."""
        return self.closes_at is not None and self.closes_at <= at


SaleState = Literal["scheduled", "open", "sold_out", "closed"]


def sale_state(sale: Sale, now: float) -> SaleState:
    """Return the state of the sale at Unix time `now`."""
    if sale.closed(now):
        return "closed"
    if not sale.opened(now):
        return "scheduled"
    return "sold_out" if sale.nothing_left else "open"


@dataclass(frozen=True)
class Verdict:
    """The outcomes of a batch, in the batch's order, and its sales after the batch."""

    outcomes: list[Outcome]
    sales: list[Sale]
    moved: list[Outcome] = field(default_factory=list)
    """Orders that were decided before and have another state now, as one whose hold has ended."""


def by_one_clock(orders: Sequence[Order], now: float) -> list[Order]:
    """Return the orders, those accepted after `now` as accepted `now`, the Unix time of the drain.

    Each gateway has its own clock, and one that is ahead would open a sale too early. No order can
    be accepted after it has reached the drain, so the earlier of both moments counts. An order of
    a gateway whose clock is behind looks like one that waited in the queue, and is left as it is.
    """
    return [o if o.accepted_at <= now else replace(o, accepted_at=now) for o in orders]


Purchases = Mapping[tuple[str, str], int]
"""(sku, customer) -> the items confirmed for that customer so far."""


class StockNotOurs(FlashsaleError):
    """The stock of a sale is the shop's, so only its order service can decide an order."""


def decide(
    batch: Iterable[Order],
    sales: Mapping[str, Sale],
    bought: Purchases,
    decided: Mapping[OrderId, Outcome],
) -> list[Outcome]:
    """Decide a batch in queue order; return one outcome for each order, in the same order.

    An order that was decided before, in an earlier delivery or earlier in this batch, keeps its
    outcome. Whether a sale is open depends on the moment when the order was accepted, not on its
    time in the queue. Raises `StockNotOurs`.
    """
    remaining = {sku: _own_items(sale) for sku, sale in sales.items()}
    held = dict(bought)
    known = dict(decided)
    outcomes = []
    for order in batch:
        outcome = known.get(OrderId(order.id))
        if outcome is None:
            sale = sales.get(order.sku)
            holds = held.get((order.sku, order.customer_id), 0)
            left = remaining.get(order.sku, 0)
            reason = refusal(order, sale, left, holds)
            if reason is None:
                remaining[order.sku] -= order.quantity
                held[order.sku, order.customer_id] = holds + order.quantity
                outcome = Outcome(order, Status.CONFIRMED)
            else:
                short = left if reason is Reason.NOT_ENOUGH_LEFT else None
                outcome = Outcome(order, Status.REJECTED, reason, short)
            known[OrderId(order.id)] = outcome
        outcomes.append(outcome)
    return outcomes


def _own_items(sale: Sale) -> int:
    remaining = sale.remaining
    if remaining is None:
        raise StockNotOurs(sale.sku)
    return remaining


def refusal(order: Order, sale: Sale | None, remaining: int | None, holds: int) -> Reason | None:
    """Return why an order can't be confirmed, None if it can.

    `remaining` items are left, None if nobody here knows, and the customer holds `holds` items.
    """
    if sale is None:
        return Reason.UNKNOWN_SKU
    if not sale.opened(order.accepted_at):
        return Reason.SALE_NOT_OPEN
    if sale.closed(order.accepted_at):
        return Reason.SALE_CLOSED
    if sale.customer_limit is not None and holds + order.quantity > sale.customer_limit:
        return Reason.CUSTOMER_LIMIT
    if remaining is None:
        return None
    if remaining <= 0:
        return Reason.SOLD_OUT
    if order.quantity > remaining:
        return Reason.NOT_ENOUGH_LEFT
    return None
