"""The model: what stock, keys and customers must look like, told apart from how it is done.

It is written once more from the promises, in the plainest way, and shares no rule with the product.
"""

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from flashsale.domain.order_ids import OrderId
from flashsale.domain.orders import Order, Outcome
from flashsale.domain.sales import Sale, Verdict

# What is released is seen here some turns of the loop later, more or fewer of them.
_SECOND = 1 - 1e-4


class DrainTime(NamedTuple):
    """The time of a batch by the wall clock of the drain, and how many others it may change."""

    now: float
    due: int


def as_found(outcome: Outcome) -> tuple[str, str | None]:
    """The state of an order and its reason."""
    return str(outcome.status), outcome.reason and str(outcome.reason)


class Expected:
    """The state of a sale, advanced by each commit, which it checks."""

    def __init__(self, sales: Sequence[Sale], rate: int) -> None:
        self.terms = {sale.sku: sale for sale in sales}
        self.sold: Counter[str] = Counter()
        self.held: Counter[tuple[str, str]] = Counter()
        self.states: dict[str, tuple[str, str | None]] = {}
        self.decided_orders: dict[str, Order] = {}
        self.confirmed_at: dict[str, float] = {}
        self.waiting: set[str] = set()
        """Orders that a shopper has a 202 for, and that are not decided."""
        self.past: dict[str, list[str]] = {}
        """The states that each order has had."""
        self.events: Counter[tuple[str, str]] = Counter()
        """How many events there are of an order with a topic."""
        self._rate = rate
        self._releases: deque[tuple[float, int]] = deque()
        self._commits: deque[tuple[float, int]] = deque()

    def would_decide(self, order_id: str, replayed: Collection[str]) -> bool:
        """Whether this order is undecided, or failed and tried again."""
        state = self.states.get(order_id)
        return state is None or (state[0] == "failed" and order_id in replayed)

    def accepted(self, order_id: str) -> None:
        """A shopper was told 202."""
        if order_id not in self.states:
            self.waiting.add(order_id)

    def released(self, now: float, count: int) -> None:
        """The database was given so many orders."""
        self._count(self._releases, now, count)

    def committed(
        self,
        batch: Sequence[Order],
        replayed: Sequence[str],
        verdict: Verdict,
        now: float,
        drain: DrainTime,
    ) -> None:
        """A batch was decided: as this model would have it, and nothing twice."""
        self._count(self._commits, now, len(batch) + len(verdict.moved))
        for order_id in replayed:
            if self.states.get(order_id, ("", ""))[0] == "failed":
                del self.states[order_id]
        assert [o.order.id for o in verdict.outcomes] == [order.id for order in batch]
        self._decided(batch, verdict, now, drain)
        for sale in verdict.sales:
            assert sale.sold == self.sold[sale.sku]

    def _decided(
        self, batch: Sequence[Order], verdict: Verdict, now: float, drain: DrainTime
    ) -> None:
        assert not verdict.moved
        for order, outcome in zip(batch, verdict.outcomes, strict=True):
            self._one_decided(order, outcome, now)

    def _one_decided(self, order: Order, outcome: Outcome, now: float) -> None:
        found = as_found(outcome)
        known = self.states.get(order.id)
        if known is not None:
            assert found == known, f"order {order.id} was {known}, and is {found}"
            return
        must = self._must_be(order)
        assert found == must, f"order {order.id} must be {must}, and is {found}"
        if found[1] == "not_enough_left":
            left = self.stock(order.sku) - self.sold[order.sku]
            assert outcome.remaining == left
        self.states[order.id] = found
        self.decided_orders[order.id] = order
        self.waiting.discard(order.id)
        self._note(order.id)
        if found[0] == "confirmed":
            self.confirmed_at[order.id] = now
            self.sold[order.sku] += order.quantity
            self.held[order.sku, order.customer_id] += order.quantity
            sale = self.terms[order.sku]
            limit = sale.customer_limit
            assert self.sold[order.sku] <= self.stock(order.sku), "oversold"
            assert limit is None or self.held[order.sku, order.customer_id] <= limit

    def _note(self, order_id: str) -> None:
        """Keep the state that an order has now, and its event."""
        status = self.states[order_id][0]
        self.past.setdefault(order_id, []).append(status)
        self.events[order_id, f"order.{status}.{self.decided_orders[order_id].sku}"] += 1

    def _count(self, recent: deque[tuple[float, int]], now: float, count: int) -> None:
        recent.append((now, count))
        while recent[0][0] < now - _SECOND:
            recent.popleft()
        assert sum(n for _, n in recent) <= self._rate, "too many in a second"

    def failed(self, order_id: str, reason: str) -> None:
        """An order could not be decided."""
        if order_id not in self.states:
            self.states[order_id] = "failed", reason
            self.past.setdefault(order_id, []).append("failed")
        self.waiting.discard(order_id)

    def was_sold_out(self, sku: str) -> bool:
        """Whether a sale is sold out, or was."""
        return self.sold[sku] == self.stock(sku)

    def stock(self, sku: str) -> int:
        """The stock of a sale, which is ours."""
        stock = self.terms[sku].stock
        assert stock is not None
        return stock

    def _must_be(self, order: Order) -> tuple[str, str | None]:
        sale = self.terms.get(order.sku)
        if sale is None:
            return "rejected", "unknown_sku"
        if sale.opens_at is not None and order.accepted_at < sale.opens_at:
            return "rejected", "sale_not_open"
        if sale.closes_at is not None and order.accepted_at >= sale.closes_at:
            return "rejected", "sale_closed"
        holds = self.held[order.sku, order.customer_id]
        if sale.customer_limit is not None and holds + order.quantity > sale.customer_limit:
            return "rejected", "customer_limit"
        remaining = self.stock(order.sku) - self.sold[order.sku]
        if remaining < order.quantity:
            return "rejected", "not_enough_left" if remaining > 0 else "sold_out"
        return "confirmed", None

    def check_ledger(
        self, orders: Mapping[OrderId, Outcome], events: Counter[tuple[str, str]]
    ) -> None:
        """The ledger holds these orders, each once, and each of their events once."""
        found = {str(order_id): as_found(outcome) for order_id, outcome in orders.items()}
        assert found == self.states
        assert events == self.events
