"""The top buyers of a sale. The gateway serves them: `GET /sales/{sku}/ranking`."""

from flashsale.messages.events import OrderEvent
from services import Effects, Service

# Of two with as many items the one who had them earlier is ahead, in whatever order events come.
_ADD_ITEMS = (
    "INSERT INTO ranking (sku, customer_id, bought, reached_at)"
    " VALUES (:sku, :customer_id, :bought, :reached_at)"
    " ON CONFLICT (sku, customer_id) DO UPDATE SET bought = ranking.bought + excluded.bought,"
    " reached_at = CASE WHEN excluded.reached_at > ranking.reached_at THEN excluded.reached_at"
    " ELSE ranking.reached_at END"
)


async def add_items(event: OrderEvent, effects: Effects) -> None:
    """Count what one order bought."""
    effects.run(
        _ADD_ITEMS,
        sku=event.sku,
        customer_id=event.customer_id,
        bought=event.quantity,
        reached_at=event.decided_at,
    )


def as_it_is(event: OrderEvent) -> OrderEvent:
    """The ranking wants to know most of an event."""
    return event


ranking = Service("ranking", ("order.confirmed.#",), as_it_is, add_items, concurrency=2000)
