"""The orders of the shop: one for each key, and never more items than there are."""

from collections.abc import Hashable
from dataclasses import dataclass

import msgspec


class Placed(msgspec.Struct, frozen=True):
    """An order as it arrived. `decided` says that the shop is only told of it."""

    key: str
    sku: str
    customer_id: str
    quantity: int
    decided: bool = False


class Made(msgspec.Struct, frozen=True):
    """An order of the shop. `at` is in seconds of the monotonic clock."""

    order_ref: str
    key: str
    customer_id: str
    quantity: int
    at: float


@dataclass(frozen=True)
class SoldOut:
    """The shop has only so many items left, which are not enough for the order."""

    left: int


@dataclass(frozen=True)
class InProgress:
    """The shop is still busy with an earlier request of the same key."""


Decision = Made | SoldOut


class OrderBook:
    """What became of each key. `stock` is None if this shop counts no items.

    A shop that does not honour keys makes an order of each request.
    """

    def __init__(self, stock: int | None, honours_keys: bool = True) -> None:
        self.stock = stock
        self.sold = 0
        self.refused = 0
        self.repeated = 0
        """The requests whose key was known."""
        self.made: list[Made] = []
        self._honours_keys = honours_keys
        self._decisions: dict[Hashable, Decision | InProgress] = {}

    def begin(self, placed: Placed) -> Decision | InProgress | None:
        """Begin with an order; return what is known of its key.

        None means that it is new: `decide` or `give_up` must follow.
        """
        known = self._decisions.get(placed.key)
        if known is not None:
            self.repeated += 1
            if self._honours_keys:
                return known
        self._decisions[placed.key] = InProgress()
        return None

    def decide(self, placed: Placed, now: float) -> Decision:
        """Decide an order by the stock; an order that is decided elsewhere is only written."""
        decision: Decision
        left = None if placed.decided or self.stock is None else self.stock - self.sold
        if left is not None and placed.quantity > left:
            self.refused += 1
            decision = SoldOut(max(0, left))
        else:
            self.sold += placed.quantity
            decision = Made(
                f"shop-{len(self.made) + 1:06}",
                placed.key,
                placed.customer_id,
                placed.quantity,
                now,
            )
            self.made.append(decision)
        self._decisions[placed.key] = decision
        return decision

    def give_up(self, placed: Placed) -> None:
        """Forget an order that was begun: its transaction failed."""
        self._decisions.pop(placed.key, None)

    @property
    def doubled(self) -> int:
        """The number of orders that share their key with an earlier one."""
        return len(self.made) - len({made.key for made in self.made})

    @property
    def oversold(self) -> int:
        """The number of items that were sold and are not there."""
        return 0 if self.stock is None else max(0, self.sold - self.stock)
