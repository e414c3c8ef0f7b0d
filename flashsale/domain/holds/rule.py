"""The rule of a batch of sales with holds: end what is due, serve the waiting lists, then decide.

A customer has at most one open order of a sale, held or waiting. If the same customer orders again,
the new order gets the hold, with the end of the old one, or the place in line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from flashsale.domain.errors import FlashsaleError
from flashsale.domain.holds.counts import Counts
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import CancelReason, Reason, Status
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Purchases, Sale, refusal


class MoreChanges(FlashsaleError):
    """A batch changes more orders that were decided before than it may."""

    def __init__(self, needed: int) -> None:
        """Say how many orders it would replace."""
        super().__init__(f"the batch replaces {needed} orders")
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many orders a batch may change that were decided before. They count for the rate."""

    due: int = 0
    """Holds that end, and orders that are served from waiting lists."""
    replaced: int = 0
    """Open orders that give their hold or place to a new order of their customer."""


@dataclass(frozen=True)
class Books:
    """What is known about some sales with holds before a batch."""

    sales: Mapping[str, Sale]
    due: Sequence[Outcome] = ()
    """Holds whose time and grace are over, in the order in which they end."""
    lines: Sequence[Outcome] = ()
    """The beginnings of the waiting lists, each in its order."""
    open_orders: Sequence[Outcome] = ()
    """The open orders of the customers of the batch."""
    bought: Purchases = field(default_factory=dict)


@dataclass(frozen=True)
class Advanced:
    """What a batch has made of the sales."""

    new: Mapping[OrderId, Outcome]
    """The outcomes of the orders of the batch that were not decided before."""
    moved: Sequence[Outcome]
    """Orders that were decided before, and have another state now."""
    sales: Sequence[Sale]


def advance(
    batch: Iterable[Order],
    books: Books,
    decided: Mapping[OrderId, Outcome],
    now: float,
    allowance: Allowance,
) -> Advanced:
    """Decide a batch of orders of these sales at Unix time `now`, in queue order.

    First the holds that are due end, then the waiting lists are served: each in its order, and an
    order that needs more items than are free waits at the head. Nobody is passed over. Raises
    `MoreChanges` if more orders have to be replaced than is allowed.
    """
    round_ = _Round(books, now)
    for outcome in books.due[: allowance.due]:
        round_.expire(outcome)
    for sku in books.sales:
        line = [outcome for outcome in books.lines if outcome.order.sku == sku]
        round_.serve(sku, line, allowance.due)
    by_due = len(round_.moved)
    new: dict[OrderId, Outcome] = {}
    for order in batch:
        order_id = OrderId(order.id)
        if order_id not in decided and order_id not in new:
            round_.decide(order, new)
    needed = len(round_.moved) - by_due
    if needed > allowance.replaced:
        raise MoreChanges(needed)
    sales = [counts.after() for counts in round_.counts.values()]
    return Advanced(new, list(round_.moved.values()), sales)


class _Round:
    """The sales and the open orders while one batch changes them."""

    def __init__(self, books: Books, now: float) -> None:
        self._now = now
        self._bought = books.bought
        self.counts = {sku: Counts(sale) for sku, sale in books.sales.items()}
        self.moved: dict[OrderId, Outcome] = {}
        self._open = {(o.order.sku, o.order.customer_id): o for o in books.open_orders}

    def expire(self, outcome: Outcome) -> None:
        self._move(outcome, replace(outcome, status=Status.EXPIRED))

    def serve(self, sku: str, line: Sequence[Outcome], allowed: int) -> None:
        counts = self.counts[sku]
        for outcome in line:
            items = outcome.order.quantity
            if len(self.moved) >= allowed:
                counts.line_head = outcome.place or counts.line_head
                return
            if items <= counts.free:
                ends = self._now + (counts.sale.hold_seconds or 0)
                self._move(outcome, replace(outcome, status=Status.HELD, expires_at=ends))
            elif not counts.held:
                # Nothing will be freed, so there is nothing to wait for.
                reason = Reason.NOT_ENOUGH_LEFT if counts.free else Reason.SOLD_OUT
                left = counts.free or None
                refused = replace(outcome, status=Status.REJECTED, reason=reason, remaining=left)
                self._move(outcome, refused)
            else:
                counts.line_head = outcome.place or counts.line_head
                return
            counts.line_head = (outcome.place or 0) + 1

    def _move(self, before: Outcome, after: Outcome) -> None:
        order = after.order
        self.counts[order.sku].change(before.status, after)
        self.moved[OrderId(order.id)] = after
        mine = self._open.get((order.sku, order.customer_id))
        if mine is not None and mine.order.id == order.id:
            self._note(after)

    def _note(self, outcome: Outcome) -> None:
        key = outcome.order.sku, outcome.order.customer_id
        if outcome.status in (Status.HELD, Status.WAITLISTED):
            self._open[key] = outcome
        else:
            self._open.pop(key, None)
            if outcome.status is Status.CONFIRMED:
                bought = dict(self._bought)
                bought[key] = bought.get(key, 0) + outcome.order.quantity
                self._bought = bought

    def decide(self, order: Order, new: dict[OrderId, Outcome]) -> None:
        counts = self.counts[order.sku]
        mine = self._open.get((order.sku, order.customer_id))
        if mine is not None and mine.status is Status.HELD and self._is_over(mine):
            outcome = self._decision_after(mine, order, counts)
        else:
            outcome = self._decision(order, counts, mine)
            if mine is not None and outcome.status is not Status.REJECTED:
                self._replace(mine, new)
        new[OrderId(order.id)] = outcome
        counts.add(outcome)
        if outcome.status is not Status.REJECTED:
            self._note(outcome)

    def _decision_after(self, over: Outcome, order: Order, counts: Counts) -> Outcome:
        """Decide a new order of a customer whose hold is over, but for its grace.

        The grace is for a payment. It does not keep the customer from a new order. If that is
        rejected, the payment may still come.
        """
        ended = replace(over, status=Status.EXPIRED)
        counts.change(over.status, ended)
        outcome = self._decision(order, counts, None)
        counts.change(ended.status, over)
        if outcome.status is not Status.REJECTED:
            self.expire(over)
        return outcome

    def _is_over(self, outcome: Outcome) -> bool:
        return outcome.expires_at is not None and outcome.expires_at <= self._now

    def _replace(self, mine: Outcome, new: dict[OrderId, Outcome]) -> None:
        order_id = OrderId(mine.order.id)
        gone = replace(mine, status=Status.CANCELLED, reason=CancelReason.REPLACED)
        if order_id in self.moved:
            # It was served in this batch, which nobody has been told of.
            gone = replace(gone, expires_at=None)
        if order_id in new:
            # Nobody has been told of it yet: it was queued, and then it was cancelled.
            new[order_id] = replace(gone, expires_at=None, place=None, extended=False)
            self.counts[mine.order.sku].change(mine.status, gone)
        else:
            self._move(mine, gone)

    def _decision(self, order: Order, counts: Counts, mine: Outcome | None) -> Outcome:
        sale = counts.sale
        bought = self._bought.get((order.sku, order.customer_id), 0)
        if mine is None:
            left = counts.offered
        elif mine.status is Status.HELD:
            left = mine.order.quantity + counts.offered
        else:
            left = counts.unsold
        reason = refusal(order, sale, left, bought)
        if reason is Reason.SOLD_OUT and mine is None and self._may_wait(order, counts):
            return Outcome(order, Status.WAITLISTED, place=counts.next_place())
        if reason is not None:
            short = left if reason is Reason.NOT_ENOUGH_LEFT else None
            return Outcome(order, Status.REJECTED, reason, short)
        if mine is None:
            if sale.hold_seconds is None:
                return Outcome(order, Status.CONFIRMED)
            return Outcome(order, Status.HELD, expires_at=self._now + sale.hold_seconds)
        if mine.status is Status.HELD:
            return Outcome(order, Status.HELD, expires_at=mine.expires_at, extended=mine.extended)
        if order.quantity <= mine.order.quantity:
            return Outcome(order, Status.WAITLISTED, place=mine.place)
        return Outcome(order, Status.WAITLISTED, place=counts.next_place())

    def _may_wait(self, order: Order, counts: Counts) -> bool:
        room = counts.waiting < (counts.sale.waitlist or 0)
        return room and counts.held > 0 and order.quantity <= counts.unsold
