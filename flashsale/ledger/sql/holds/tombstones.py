"""Orders that were cancelled while they were queued, and whose contents nobody knew then."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace
from sqlalchemy import Update, bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.ledger.sql.holds.changes import facts_of
from flashsale.ledger.sql.sell import insert_events
from flashsale.ledger.sql.tables import orders


def is_bare(outcome: Outcome) -> bool:
    """Return whether a cancelled order has no contents. Then it had no event either."""
    return outcome.status is Status.CANCELLED and not outcome.order.customer_id


@lru_cache(maxsize=1)
def _fill() -> Update:
    return (
        update(orders)
        .where(orders.c.id == bindparam("of_id"))
        .values(
            sku=bindparam("of_sku"),
            customer_id=bindparam("of_customer"),
            quantity=bindparam("items"),
            accepted_at=bindparam("at"),
            decided_at=bindparam("now"),
            events=1,
        )
    )


async def fill_tombstones(
    connection: AsyncConnection,
    batch: Sequence[Order],
    decided: Mapping[OrderId, Outcome],
    now: float,
) -> dict[OrderId, Outcome]:
    """Write the contents and the events of cancelled orders that come from the queue.

    Return the outcomes of all decided orders, these with their contents.
    """
    bare = {order_id for order_id, outcome in decided.items() if is_bare(outcome)}
    if not bare:
        return dict(decided)
    known = {OrderId(order.id): order for order in reversed(batch) if order.id in bare}
    filled = {i: replace(decided[i], order=order) for i, order in known.items()}
    await connection.execute(
        _fill(),
        [
            {
                "of_id": order.id,
                "of_sku": order.sku,
                "of_customer": order.customer_id,
                "items": order.quantity,
                "at": order.accepted_at,
                "now": now,
            }
            for _, order in sorted(known.items())
        ],
    )
    outcomes = list(filled.values())
    await insert_events(connection, outcomes, now, None, [facts_of(o) for o in outcomes])
    return {**decided, **filled}
