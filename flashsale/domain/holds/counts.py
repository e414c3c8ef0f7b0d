"""How far a sale with holds is sold while its orders change: the one place that counts items."""

from dataclasses import replace

from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale


class Counts:
    """The items and the waiting list of one sale. It changes with each order that changes."""

    def __init__(self, sale: Sale) -> None:
        """Begin with the sale as it is. Its stock must be ours."""
        self.sale = sale
        self._stock = sale.stock or 0
        self._sold = sale.sold
        self._held = sale.held
        self.waiting = sale.waiting
        self.waited = sale.waited
        self.line_head = sale.line_head

    @property
    def free(self) -> int:
        """The items that are neither sold nor held."""
        return max(0, self._stock - self._sold - self._held)

    @property
    def offered(self) -> int:
        """The items that a new order may have: none while others wait for them."""
        return 0 if self.waiting else self.free

    @property
    def held(self) -> int:
        """The items that are held."""
        return self._held

    @property
    def unsold(self) -> int:
        """The items that are not sold, held or not."""
        return max(0, self._stock - self._sold)

    def add(self, outcome: Outcome) -> None:
        """Count a new order."""
        self._count(outcome.status, outcome.order.quantity, 1)

    def change(self, before: Status, after: Outcome) -> None:
        """Count an order that was in the state `before`, and is in another."""
        items = after.order.quantity
        self._count(before, -items, -1)
        self._count(after.status, items, 1)

    def _count(self, status: Status, items: int, orders: int) -> None:
        if status is Status.CONFIRMED:
            self._sold += items
        elif status is Status.HELD:
            self._held += items
        elif status is Status.WAITLISTED:
            self.waiting += orders

    def next_place(self) -> int:
        """Return the number of an order that joins the waiting list now."""
        if not self.waiting:
            self.line_head = self.waited + 1
        self.waited += 1
        return self.waited

    def after(self) -> Sale:
        """Return the sale as it is now."""
        return replace(
            self.sale,
            sold=self._sold,
            held=self._held,
            waiting=self.waiting,
            waited=self.waited,
            line_head=self.line_head if self.waiting else self.waited + 1,
        )
