"""The rule of the sale: decide a batch by the stock, the limits and earlier purchases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Reason, Status
from flashsale.domain.orders import Order, Outcome


@dataclass(frozen=True)
class Sale:
    """The terms of a sale, and the items sold. Times are Unix seconds, limits are items.

    Shoppers see the title, the price with its currency and the picture; nothing is computed with
    them. Each change of an operator makes the next `version`.
    """

    sku: str
    stock: int
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
    version: int = 1

    @property
    def remaining(self) -> int:
        """The items that can still be sold; negative if the sale is oversold."""
        return self.stock - self.sold

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
    return "open" if sale.remaining > 0 else "sold_out"


@dataclass(frozen=True)
class Verdict:
    """The outcomes of a batch, in the batch's order, and its sales after the batch."""

    outcomes: list[Outcome]
    sales: list[Sale]


def by_one_clock(orders: Sequence[Order], now: float) -> list[Order]:
    """Return the orders, those accepted after `now` as accepted `now`, the Unix time of the drain.

    Each gateway has its own clock, and one that is ahead would open a sale too early. No order can
    be accepted after it has reached the drain, so the earlier of both moments counts. An order of
    a gateway whose clock is behind looks like one that waited in the queue, and is left as it is.
    """
    return [o if o.accepted_at <= now else replace(o, accepted_at=now) for o in orders]


Purchases = Mapping[tuple[str, str], int]
"""(sku, customer) -> the items confirmed for that customer so far."""


def decide(
    batch: Iterable[Order],
    sales: Mapping[str, Sale],
    bought: Purchases,
    decided: Mapping[OrderId, Outcome],
) -> list[Outcome]:
    """Decide a batch in queue order; return one outcome for each order, in the same order.

    An order that was decided before, in an earlier delivery or earlier in this batch, keeps its
    outcome. Whether a sale is open depends on the moment when the order was accepted, not on its
    time in the queue.
    """
    remaining = {sku: sale.remaining for sku, sale in sales.items()}
    held = dict(bought)
    known = dict(decided)
    outcomes = []
    for order in batch:
        outcome = known.get(OrderId(order.id))
        if outcome is None:
            sale = sales.get(order.sku)
            holds = held.get((order.sku, order.customer_id), 0)
            left = remaining.get(order.sku, 0)
            reason = _refusal(order, sale, left, holds)
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


def _refusal(order: Order, sale: Sale | None, remaining: int, holds: int) -> Reason | None:
    if sale is None:
        return Reason.UNKNOWN_SKU
    if not sale.opened(order.accepted_at):
        return Reason.SALE_NOT_OPEN
    if sale.closed(order.accepted_at):
        return Reason.SALE_CLOSED
    if sale.customer_limit is not None and holds + order.quantity > sale.customer_limit:
        return Reason.CUSTOMER_LIMIT
    if remaining <= 0:
        return Reason.SOLD_OUT
    if order.quantity > remaining:
        return Reason.NOT_ENOUGH_LEFT
    return None
