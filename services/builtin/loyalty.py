"""Loyalty points for what a customer bought."""

from dataclasses import dataclass

from services import Effects, OrderEvent, Service

POINTS_PER_ITEM = 10


@dataclass(frozen=True)
class Purchase:
    """What loyalty wants to know."""

    customer_id: str
    items: int

    @classmethod
    def of(cls, event: OrderEvent) -> "Purchase":
        """What a confirmed order is to loyalty."""
        return cls(event.customer_id, event.quantity)


_ADD_POINTS = (
    "INSERT INTO loyalty (customer_id, points) VALUES (:customer_id, :points)"
    " ON CONFLICT (customer_id) DO UPDATE SET points = loyalty.points + excluded.points"
)


async def add_points(purchase: Purchase, effects: Effects) -> None:
    """Add the points of one purchase."""
    points = purchase.items * POINTS_PER_ITEM
    effects.run(_ADD_POINTS, customer_id=purchase.customer_id, points=points)


loyalty = Service("loyalty", ("order.confirmed.#",), Purchase.of, add_points, concurrency=2000)
